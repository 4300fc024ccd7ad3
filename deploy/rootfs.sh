#!/bin/sh
# Puts together in a folder what the container image runs: sources without tests, dependencies, and what the first start
# compiles, since at run time nothing there can be written. The folder's path is part of what is compiled: make it where
# it will lie.
#
#   deploy/rootfs.sh DEST
#   NODE_MODULES=node_modules deploy/rootfs.sh DEST   links installed packages instead of fetching them (tests)
set -eu
umask 022
dest=$1
cd "$(dirname "$0")/.."
mkdir -p "$dest/scripts"
dest=$(cd "$dest" && pwd -P)

cp package.json package-lock.json "$dest"
cp -R src data "$dest"
cp scripts/image-replication.js scripts/typescript.js "$dest/scripts"
rm -rf "$dest/src/testing"
find "$dest/src" -name '*.test.ts' -exec rm -f {} +

if [ -n "${NODE_MODULES:-}" ]; then
  mkdir "$dest/node_modules"
  for package in "$(cd "$NODE_MODULES" && pwd -P)"/*; do ln -s "$package" "$dest/node_modules"; done
else
  (cd "$dest" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error)
fi

# What is compiled is found by its sources' times, and layers of images keep whole seconds.
find "$dest/src" "$dest/scripts" "$dest/package.json" -exec touch -d '1980-01-01T00:00:00Z' {} +
node "$dest/scripts/image-replication.js" --help >/dev/null
ls "$dest"/node_modules/.cache/image-replication/*/src/cli/main.js >/dev/null

# Whoever runs it is another user than the one whose checkout this comes from.
chmod -R a+rX "$dest"
