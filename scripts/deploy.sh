#!/usr/bin/env bash
# deployspec.yaml, phase build of a deploy: replicate, verify, publish, then hand the metadata over. Parameters arrive
# in the environment (SEEDFARMER_PARAMETER_*). The first failure ends the build, so that Seed-Farmer keeps what it had.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -f out/metadata.json
node scripts/image-replication.js eks --publish --out out
seedfarmer metadata add -j "$(cat out/metadata.json)"
