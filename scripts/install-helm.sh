#!/usr/bin/env bash
# deployspec.yaml, phase install of a deploy: fetch helm (HelmDistroUrl, a suitable one on PATH, or the pinned release) and
# check it, so that a host that cannot be reached is told before anything is copied.
set -euo pipefail
cd "$(dirname "$0")/.."

node scripts/image-replication.js helm
