#!/usr/bin/env bash
# Usage: Scripts/stop.sh [flags of convoy stop] [RUN_DIR]
#
# Ends the processes that Scripts/launch.sh started, here and on the hosts of a cluster file, and no
# others. RUN_DIR is the newest in runs/ by default. convoy stop --help explains the flags.
# CONVOY=PROGRAM uses that program instead of the one built here.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
exec "${CONVOY:-$root/.build/release/convoy}" stop "$@"
