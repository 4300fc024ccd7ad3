#!/usr/bin/env bash
# deployspec.yaml, phase install: what the module needs to run. A registry mirror that Seed-Farmer was told to use
# (npmMirror, npmMirrorSecret) is in npm's own configuration by now; nothing here reads or prints it.
set -euo pipefail
cd "$(dirname "$0")/.."

node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) process.exit(0);
  console.error(`Node ${process.versions.node} is too old, 20.19 is needed: set runtimeOverrides: {nodejs: "22"} in the manifest`);
  process.exit(1);
'
npm ci --omit=dev --no-audit --no-fund --loglevel=error
