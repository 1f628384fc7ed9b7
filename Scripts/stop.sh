#!/usr/bin/env bash
# Usage: Scripts/stop.sh [flags of convoy stop] [RUN_DIR]
#
# Ends what Scripts/launch.sh started, here and on the hosts of a cluster file, and nothing else
# (RUN_DIR: the newest in runs/). convoy stop --help explains the flags. CONVOY=PROGRAM takes that
# program in place of the one built here.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
exec "${CONVOY:-$root/.build/release/convoy}" stop "$@"
