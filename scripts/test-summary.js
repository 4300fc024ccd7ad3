// Prints the closing line "N passed, M failed, K skipped" of vitest's JSON report, and ends with 1 if anything failed.
// A step that failed without a failed test (types, lint, a test file that does not load) counts as one failure.
import { existsSync, readFileSync } from 'node:fs';

const [file, steps] = process.argv.slice(2);
const report = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
const passed = report.numPassedTests ?? 0;
const skipped = (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
const testsFailed = report.numFailedTests ?? 0;
const testStepFailed = report.success !== true;
const otherSteps = Number(steps) - (testStepFailed && Number(steps) > 0 ? 1 : 0);
const failed = otherSteps + (testStepFailed ? Math.max(testsFailed, 1) : 0);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
