#!/usr/bin/env bash
# Usage: Scripts/monitor.sh [flags of convoy monitor] [RUN_DIR]
#
# Follows a run: prints a line an epoch, and the warnings of all processes of the run. RUN_DIR is
# the newest in runs/ by default. convoy monitor --help explains the flags. CONVOY=PROGRAM uses that
# program instead of the one built here.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
exec "${CONVOY:-$root/.build/release/convoy}" monitor "$@"
