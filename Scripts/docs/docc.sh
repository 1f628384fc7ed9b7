#!/usr/bin/env bash
# Usage: Scripts/docs/docc.sh [DIR]
#
# Builds the documentation of the libraries, the articles included, below DIR (.build/documentation),
# as static pages: index.html there needs a web server, for instance
# python3 -m http.server --directory .build/documentation. A warning of DocC is an error. The build
# has a directory of its own, .build/docc, and takes some minutes.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd)
cd -- "$root"
output=${1:-.build/documentation}

targets=()
for name in NeuralNetwork Partitions RunFiles ClusterProtocol ClusterRuntime; do
    targets+=(--target "$name")
done
rm -rf -- "$output"
mkdir -p -- "$output"
# The articles link to what only this package can use.
CONVOY_DOCC=on swift package --scratch-path .build/docc --allow-writing-to-directory "$output" \
    generate-documentation "${targets[@]}" --enable-experimental-combined-documentation \
    --symbol-graph-minimum-access-level package --output-path "$output" --warnings-as-errors
echo "documentation in $output"
