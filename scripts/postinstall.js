// Keeps the compiled sources beside the dependencies, so that the first run neither takes the half second nor the memory
// that this needs. A start does the same when they are missing: where this fails, nothing is lost.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('image-replication.js', import.meta.url));
spawnSync(process.execPath, [program, '--version'], { stdio: 'ignore' });
