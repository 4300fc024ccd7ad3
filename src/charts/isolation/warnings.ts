import { chartValues } from '../values/chart-values.ts';
import { shortenedTemplates } from '../discovery/shortened.ts';
import { templateTexts } from '../render/template-texts.ts';
import type { Row } from './findings.ts';
import type { IsolationRequest } from './port.ts';
import { noUpgrade, placeOf, placeText } from './texts.ts';
import type { Use } from './uses.ts';

/** What the reader should know of a chart's renders. */
export async function warningsOf(
  request: IsolationRequest,
  uses: readonly Use[],
  rows: readonly Row[],
): Promise<readonly string[]> {
  const warnings = new Set<string>();
  const looks = uses.map(({ look }) => look);
  if (looks.every(({ discovery }) => discovery.workloads === 0 && discovery.references.length === 0))
    warnings.add('renders nothing that runs containers');
  for (const { profile, look } of uses)
    if (look.upgradeRefusal !== undefined)
      warnings.add(
        `${noUpgrade(profile.name)} so images that only an upgrade needs are not seen there (a profile can give values that it asks for): ${oneLine(look.upgradeRefusal)}`,
      );
  for (const { discovery, warnings: said } of looks) {
    for (const { template, line, message } of discovery.broken)
      warnings.add(`${template}:${line} could not be read for references: ${message}`);
    for (const { place, why } of discovery.notImages)
      if (why !== 'placeholder') warnings.add(`${placeText(placeOf(place))} is no image reference${secretNote(why)}`);
    for (const { place, why } of discovery.unread)
      warnings.add(`${placeText(placeOf(place))} seems to name an image: ${unreadNotes[why]}`);
    for (const line of said) if (line.startsWith('values.schema.json')) warnings.add(line);
  }
  for (const warning of await shortened(request, uses)) warnings.add(warning);
  for (const { row } of rows.filter((each) => each.row.insideList && each.row.outcome === 'repointed'))
    warnings.add(
      `${row.reference} is set inside of a list (${row.controlledBy.join(', ')}): values that bring this list themselves, as the EKS module's may, are joined with it`,
    );
  return [...warnings];
}

/** Templates that a missing value silences under every profile. */
async function shortened({ archive, chart }: IsolationRequest, uses: readonly Use[]): Promise<readonly string[]> {
  const templates = await templateTexts(archive);
  const missing = uses.map(({ values, look }) => shortenedTemplates(templates, chartValues(chart, values), look.text));
  const [first = [], ...others] = missing;
  return first
    .filter(({ template }) => others.every((list) => list.some((each) => each.template === template)))
    .map(
      ({ template, values }) =>
        `${template} renders nothing, as ${values.join(', ')} ${values.length === 1 ? 'is' : 'are'} not set`,
    );
}

const unreadNotes = {
  secret: 'what Secrets hold is not read, so whatever it names is neither copied nor re-pointed nor part of the proof',
  encoded: 'it is encoded data, so whatever it names is neither copied nor re-pointed nor part of the proof',
} as const;

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 600);
}

function secretNote(why: string): string {
  return why === 'holds-a-secret' ? ': it holds a secret' : '';
}
