#!/usr/bin/env bash
# Usage: Scripts/launch.sh [flags of convoy launch]
#
# Builds the program and starts a run that outlives the terminal: on this machine, or with --cluster
# FILE on other hosts. convoy launch --help explains the flags. For other hosts the program is built
# with Swift's libraries inside, so that they need no Swift. CONVOY=PROGRAM starts that program and
# builds nothing.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
build=(swift build --package-path "$root" -c release --product convoy)
if [[ -z ${CONVOY:-} ]]; then
    "$root/Scripts/setup.sh"
    CONVOY=$root/.build/release/convoy
    if [[ " $* " == *" --cluster"[\ =]* ]]; then
        build+=(--scratch-path "$root/.build/static" --static-swift-stdlib)
        CONVOY=$root/.build/static/release/convoy
    fi
    "${build[@]}" >&2
fi
exec "$CONVOY" launch "$@"
