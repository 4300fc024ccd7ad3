import { Fn } from 'aws-cdk-lib';
import { destination, either, source } from './expressions.ts';

// Lists of arguments as JSON texts, for the state machine's definition. What a parameter leaves empty counts as not given.

/** What the plan task is told; the state machine adds `--shards LOCATION`. */
export function planCommand(): string {
  const others = either('JobIsImages', images(), either('JobIsMirror', mirror(), eks(...shared)));
  return either('JobIsEcr', ecr(), others);
}

/** What follows when all images are there: nothing, or the rest of the EKS job. */
export function finishCommand(): string {
  return either('JobIsEks', eks(...tries, '--publish'), '[]');
}

const tries = ['--tries', '${tries}'];
const shared = [
  ...tries,
  ...['--status-store', 'dynamodb:${StatusTable}', '--budget', 'dynamodb:${CoordinationTable}'],
  ...['--workers', '${maxConcurrency}'],
];

function ecr(): string {
  return list(
    [
      ...[
        'ecr',
        '--source-type',
        '${sourceType}',
        '--src-region',
        '${SourceRegion}',
        '--src-account',
        '${srcAccountId}',
      ],
      ...['--src-list', '${srcList}', '--src-image-list', '${srcImageList}'],
      ...[
        '--src-image-parameter',
        '${srcImageParameter}',
        '--src-credential',
        '${srcCredential}',
        '--src-role',
        '${srcRole}',
      ],
      ...[
        '--dest-region',
        '${DestinationRegion}',
        '--dest-account',
        '${destAccountId}',
        '--dest-prefix',
        '${destPrefix}',
      ],
      ...['--dest-credential', '${destCredential}', '--dest-role', '${destRole}'],
      ...['--platforms', '${platforms}', ...shared],
    ],
    { SourceRegion: source.region(), DestinationRegion: destination.region() },
  );
}

function images(): string {
  return list(['images', '--list', '${jobInput}', '--target', '${Target}', '--platforms', '${platforms}', ...shared], {
    Target: target(),
  });
}

function mirror(): string {
  return list(
    ['mirror', '--once', '--config', '${jobInput}', '--target', '${Target}', '--platforms', '${platforms}', ...shared],
    {
      Target: target(),
    },
  );
}

function eks(...more: readonly string[]): string {
  const module = ['--project', '${eksProject}', '--deployment', '${eksDeployment}', '--module', '${eksModule}'];
  return list(['eks', '--lock', '${jobInput}', ...module, ...more], {});
}

/** The destination as host and prefix. It is in the stack's own partition: other credentials are the ECR job's. */
function target(): string {
  const variables = { Account: destination.account(), Region: destination.region() };
  const host = '${Account}.dkr.ecr.${Region}.${AWS::URLSuffix}';
  return either('HasDestPrefix', Fn.sub(`${host}/\${destPrefix}`, variables), Fn.sub(host, variables));
}

function list(words: readonly string[], variables: Readonly<Record<string, string>>): string {
  return Fn.sub(JSON.stringify(words), variables);
}
