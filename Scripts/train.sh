#!/usr/bin/env bash
# Usage: Scripts/train.sh [flags of convoy train]
#
# Installs missing packages, builds, and trains: a coordinator, a server and two workers on this
# machine, the model cnn on Fashion-MNIST, 10 epochs, unless flags say otherwise. Only the output of
# the run itself goes to standard output. Relative paths start at the working directory.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)

"$root/Scripts/setup.sh"
swift build --package-path "$root" -c release --product convoy >&2
exec "$root/.build/release/convoy" train "$@"
