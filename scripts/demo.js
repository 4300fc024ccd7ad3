#!/usr/bin/env node
import { allowTypeScript } from './typescript.js';

await allowTypeScript();
const { demo } = await import('./demo.ts');
process.exitCode = await demo(process.argv.slice(2));
