#!/usr/bin/env bash
# Usage: Scripts/stop.sh [--within SECONDS] [RUN_DIR]
#
# Ends what Scripts/launch.sh started, here and on the hosts of a cluster file, and nothing else
# (RUN_DIR: the newest in runs/). The coordinator takes a checkpoint first; who has not ended after
# SECONDS (30) is asked, and 5 s later killed. Ends with 0 when all went by themselves, with 1 when
# somebody had to be killed, or a host was not reached: then the hosts stay listed, for another try.
# The run can be taken up again with Scripts/launch.sh --run-dir RUN_DIR or convoy train --resume
# RUN_DIR.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=Scripts/processes.sh
source "$root/Scripts/processes.sh"
# shellcheck source=Scripts/hosts.sh
source "$root/Scripts/hosts.sh"

patience=30
if [[ ${1:-} == --within ]]; then
    patience=${2:-}
    if ! [[ $patience =~ ^[0-9]+$ ]]; then
        echo "stop: error: --within: expected a number of seconds" >&2
        exit 64
    fi
    shift 2
fi
if (($# > 0)); then
    list=${1%/}.pids
    if [[ -f ${1%/}.hosts ]]; then list=${1%/}.hosts; fi
else
    newest=
    for list in runs/*.{hosts,pids}; do
        if [[ -f $list && (-z $newest || $list -nt $newest) ]]; then newest=$list; fi
    done
    list=$newest
fi
if [[ ! -f $list ]]; then
    echo "stop: error: ${list:-runs/*.pids} is not there; nothing was launched for this run" >&2
    exit 65
fi

if [[ $list == *.hosts ]]; then
    status=0
    found=$(stop_hosts "$list" "$patience") || status=$?
    if ((status == 0)); then rm -f -- "$list"; fi
    echo "${list%.hosts}: $found processes were running on the hosts"
    exit "$status"
fi

status=0
found=$(running "$list" | wc -l)
stop_processes "$list" "$patience" || status=1
rm -f -- "$list"
echo "${list%.pids}: $found processes were running, none is"
exit "$status"
