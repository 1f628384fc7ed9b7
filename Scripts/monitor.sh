#!/usr/bin/env bash
# Usage: Scripts/monitor.sh [flags of convoy monitor] [RUN_DIR]
#
# Follows a run: a line an epoch, and the warnings of all its processes
# (RUN_DIR: the newest in runs/). convoy monitor --help explains the flags. CONVOY=PROGRAM takes that
# program in place of the one built here.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
exec "${CONVOY:-$root/.build/release/convoy}" monitor "$@"
