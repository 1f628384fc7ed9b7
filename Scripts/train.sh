#!/usr/bin/env bash
# Usage: Scripts/train.sh [flags of convoy train]
#
# Installs what is missing, builds, and trains: a coordinator, a server and two workers on this
# machine, the model cnn on Fashion-MNIST, 10 epochs, unless flags say otherwise. Everything but the
# run itself goes to standard error. Relative paths are those of the working directory.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)

"$root/Scripts/setup.sh"
swift build --package-path "$root" -c release --product convoy >&2
exec "$root/.build/release/convoy" train "$@"
