import { defaultSection, Problems, type RawEntry, type RawFile, type RawSection } from './raw.ts';

interface OpenSection {
  readonly name: string;
  readonly line: number;
  readonly entries: Map<string, RawEntry>;
}

/**
 * Parses an INI file as Python's configparser does, which docker-mirror-image reads it with: keys in any case, `=` or `:`,
 * `#` and `;` begin comment lines (and nothing behind a value), deeper indented lines continue a value, a second section
 * or key of one name is an error, `%(key)s` stands for another value.
 * https://docs.python.org/3/library/configparser.html#supported-ini-file-structure
 * The package `ini` keeps no line numbers and reads dots in a section's name as a path.
 * @throws ReplicationErrors `configuration`, each with file and line
 */
export function parseIni(text: string, file: string): RawFile {
  const problems = new Problems(file);
  const defaults: OpenSection = { name: defaultSection, line: 1, entries: new Map() };
  const sections = new Map<string, OpenSection>();
  let section: OpenSection | undefined;
  let key: string | undefined;
  let indent = 0;
  for (const [index, content] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = index + 1;
    const written = content.trim();
    if (written === '' || /^[#;]/.test(written)) continue;
    const depth = content.search(/\S/);
    if (section !== undefined && key !== undefined && depth > indent) {
      const entry = section.entries.get(key);
      if (entry !== undefined) section.entries.set(key, { ...entry, value: `${entry.value}\n${written}`.trim() });
      continue;
    }
    indent = depth;
    key = undefined;
    const header = /^\[(.*)\]\s*(?:[#;].*)?$/.exec(written)?.[1];
    if (header !== undefined) {
      section = header === defaultSection ? defaults : { name: header.trim(), line, entries: new Map() };
      if (section === defaults) continue;
      const other = sections.get(section.name);
      if (section.name === '') problems.add(line, 'a section without a name');
      else if (other !== undefined) problems.add(line, `[${section.name}] stands in line ${other.line} already`);
      else sections.set(section.name, section);
      continue;
    }
    const [, name, value] = /^([^=:]*?)\s*[=:]\s*(.*)$/.exec(written) ?? [];
    if (section === undefined) problems.add(line, `"${written}" stands in no section`, 'write [name] above it');
    else if (name === undefined || value === undefined || name === '')
      problems.add(line, `"${written}" is neither a section nor a value`, 'write [name], or key = value');
    else {
      key = name.toLowerCase();
      const other = section.entries.get(key);
      if (other !== undefined) problems.add(line, `"${key}" stands in line ${other.line} of [${section.name}] already`);
      else section.entries.set(key, { value, line });
    }
  }
  problems.throwIfAny();
  const resolved = [...sections.values()].map((each) => interpolated(each, defaults, problems));
  const raw = { file, defaults: interpolated(defaults, defaults, problems), sections: resolved };
  problems.throwIfAny();
  return raw;
}

/** `%(key)s` and `%%`: https://docs.python.org/3/library/configparser.html#configparser.BasicInterpolation */
function interpolated(section: OpenSection, defaults: OpenSection, problems: Problems): RawSection {
  const entries = new Map<string, RawEntry>();
  const expand = (value: string, line: number, above: readonly string[]): string =>
    value.replace(/%(?:%|\(([^)]*)\)s|)/g, (all: string, name: string | undefined) => {
      if (all === '%%') return '%';
      const key = name?.toLowerCase() ?? '';
      const found = section.entries.get(key) ?? defaults.entries.get(key);
      if (found !== undefined && !above.includes(key)) return expand(found.value, line, [...above, key]);
      problems.add(line, `"${value}" in [${section.name}] has a % that names no value`, 'write %% for a percent sign');
      return all;
    });
  for (const [key, { value, line }] of section.entries) entries.set(key, { line, value: expand(value, line, [key]) });
  return { ...section, entries };
}
