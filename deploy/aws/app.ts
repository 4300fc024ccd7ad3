import { writeFile } from 'node:fs/promises';
import { templateFile, templateText } from './template.ts';

// npm run synth
await writeFile(templateFile, await templateText());
