#!/usr/bin/env bash
# deployspec.yaml, phase build of a destroy: what may be deleted is decided by RetentionType and the owner tags.
set -euo pipefail
cd "$(dirname "$0")/.."

node scripts/image-replication.js destroy
