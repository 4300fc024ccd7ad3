#!/usr/bin/env node
// Node 20 cannot load TypeScript itself; tsx compiles on the fly inside this one process (no build step, no second process).
import { register } from 'tsx/esm/api';

register();
const { main } = await import('../src/cli/main.ts');
await main(process.argv);
