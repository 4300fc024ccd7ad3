import type { Command } from 'commander';

/**
 * The command line without options whose value is empty: they count as not given. A stack's parameters are often empty, and
 * a list of arguments in a template cannot leave one out.
 */
export function withoutEmptyValues(program: Command, argv: readonly string[]): readonly string[] {
  const [node = '', script = '', ...rest] = argv;
  const command = program.commands.find((each) => each.name() === rest[0]);
  // `chart -c ""` means something: the static list instead of a chart. No stack runs it.
  if (command === undefined || command.name() === 'chart') return argv;
  const takesValue = (text: string | undefined): boolean =>
    command.options.some((option) => option.long === text && (option.required || option.optional));
  const kept: string[] = [];
  for (let at = 0; at < rest.length; at += 1) {
    const word = rest[at] ?? '';
    if (takesValue(word) && rest[at + 1] === '') {
      at += 1;
      continue;
    }
    const [, name] = /^(--[^=]+)=$/.exec(word) ?? [];
    if (word !== '' && !takesValue(name)) kept.push(word);
  }
  return [node, script, ...kept];
}
