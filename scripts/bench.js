#!/usr/bin/env node
import { register } from 'tsx/esm/api';

register();
const { main } = await import('../bench/main.ts');
const interrupt = new AbortController();
// Again and again if need be: the first is what counts, and none may end it before everything is cleaned up.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => interrupt.abort());
const { stdout, stderr, argv } = process;
process.exitCode = await main(argv, { stdout, stderr }, interrupt.signal);
