#!/usr/bin/env bash
# Sets up the test tools, checks types, lint and format, runs unit and end-to-end tests. Every step runs even if one
# before it failed; the last line counts tests, a failed step counting as one. Arguments go to vitest.
set -uo pipefail
cd "$(dirname "$0")/.."

results=out/test-results.json
failed_steps=0
step() {
  echo "== $1"
  shift
  "$@" || failed_steps=$((failed_steps + 1))
}

mkdir -p out
rm -f "$results"
step 'set-up' scripts/setup.sh
step 'types' npm run --silent typecheck
step 'lint' npm run --silent lint
step 'format' npm run --silent format:check
step 'tests' npx vitest run --reporter=default --reporter=json --outputFile.json="$results" "$@"
node scripts/test-summary.js "$results" "$failed_steps"
