// Keeps the compiled sources beside the dependencies, so that the first run neither takes the half second nor the memory
// that this needs. A start does the same when they are missing: where this fails, nothing is lost.
import { keptEntry } from './typescript.js';

await keptEntry('src/cli/main.ts').catch(() => undefined);
