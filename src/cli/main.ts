import { Command } from 'commander';

export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('image-replication');
  await program.parseAsync([...argv]);
}
