#!/usr/bin/env node
import { importTypeScript } from './typescript.js';

const { demo } = await importTypeScript('scripts/demo.ts');
process.exitCode = await demo(process.argv.slice(2));
