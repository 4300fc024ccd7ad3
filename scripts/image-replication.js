#!/usr/bin/env node
import { allowTypeScript } from './typescript.js';

await allowTypeScript();
const { main } = await import('../src/cli/main.ts');
const { env, stdout, stderr, argv } = process;
process.exitCode = await main(argv, { env, stdout, stderr });
