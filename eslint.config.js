import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/**
 * The rooms of src/ and the rooms each may import from: cli -> sources, charts, copy, publish, retention, mirror ->
 * status, registry, layout, aws -> model, report. fleet -> shards, status, registry, aws. A room may always import itself.
 */
const mayImport = {
  model: [],
  report: ['model'],
  registry: ['model', 'report'],
  layout: ['model', 'report'],
  aws: ['model', 'report'],
  copy: ['registry', 'layout', 'aws', 'model', 'report'],
  charts: ['registry', 'layout', 'aws', 'model', 'report'],
  publish: ['registry', 'layout', 'aws', 'model', 'report'],
  retention: ['registry', 'layout', 'aws', 'model', 'report'],
  sources: ['charts', 'registry', 'layout', 'aws', 'model', 'report'],
  status: ['aws', 'model', 'report'],
  mirror: ['sources', 'status', 'registry', 'aws', 'model', 'report'],
  shards: ['model', 'report'],
  fleet: ['shards', 'status', 'registry', 'aws', 'model', 'report'],
  cli: [
    'sources',
    'charts',
    'copy',
    'publish',
    'retention',
    'status',
    'mirror',
    'shards',
    'fleet',
    'registry',
    'layout',
    'aws',
    'model',
    'report',
  ],
  testing: ['model'],
};
const rooms = Object.keys(mayImport);

const boundaries = rooms.map((room) => ({
  files: [`src/${room}/**/*.ts`],
  ignores: ['**/*.test.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: rooms
          .filter((other) => other !== room && !mayImport[room].includes(other))
          .map((other) => ({
            group: [`../${other}/*`, `../../${other}/*`, `../../${other}/**`, `../${other}/**`],
            message: `src/${room} may not import src/${other} (see the rooms in README.md)`,
          })),
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['node_modules', '.tools', '.venv', 'out', 'coverage'] },
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', URL: 'readonly', AbortController: 'readonly' },
    },
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/prefer-readonly': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/report/**', 'src/testing/**', '**/*.test.ts'],
    rules: { 'no-console': 'error' },
  },
  ...boundaries,
);
