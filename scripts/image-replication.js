#!/usr/bin/env node
import { importTypeScript } from './typescript.js';

const { main } = await importTypeScript('src/cli/main.ts');
const { env, stdout, stderr, argv } = process;
process.exitCode = await main(argv, { env, stdout, stderr });
