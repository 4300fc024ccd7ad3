import { type EnvironmentVariables, parameter, parameterName } from './environment.ts';

/** Parameters that later versions act on, with the values (lower case) that ask for nothing. */
const later: readonly (readonly [name: string, defaults: readonly string[]])[] = [
  ['UNCONTROLLED_IMAGES', ['warn']],
  ['ALLOWED_REGISTRIES', ['[]']],
  ['PIN_DIGESTS', ['false', 'no', '0', 'off']],
  ['API_VERSIONS', ['[]']],
];

/** A warning for each parameter that is set to something this version cannot do: silence would look like consent. */
export function laterParameters(env: EnvironmentVariables): readonly string[] {
  return later.flatMap(([name, defaults]) => {
    const value = parameter(env, name);
    if (value === undefined || defaults.includes(value.toLowerCase())) return [];
    return [`the parameter ${parameterName(name)} is "${value}", but this version does not act on it yet`];
  });
}
