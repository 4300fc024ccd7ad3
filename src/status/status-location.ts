import { ReplicationError } from '../model/errors.ts';

/** Where the status is kept, as `--status-store` writes it. */
export type StatusLocation =
  { readonly kind: 'sqlite'; readonly path: string } | { readonly kind: 'dynamodb'; readonly table: string };

/** https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html */
const tableName = /^[A-Za-z0-9_.-]{3,255}$/;

/** Parses `sqlite:FILE` or `dynamodb:TABLE`. @throws ReplicationError `usage` */
export function parseStatusLocation(text: string): StatusLocation {
  const [, kind, rest = ''] = /^(sqlite|dynamodb):(.+)$/.exec(text) ?? [];
  if (kind === 'sqlite') return { kind, path: rest };
  if (kind === 'dynamodb' && tableName.test(rest)) return { kind, table: rest };
  throw new ReplicationError('usage', `"${text}" is no place for the status`, {
    remedy: 'write sqlite:FILE or dynamodb:TABLE (a table name has 3 to 255 letters, digits, and _ . -)',
  });
}
