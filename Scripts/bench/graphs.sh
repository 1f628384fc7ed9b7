#!/usr/bin/env bash
# Usage: Scripts/bench/graphs.sh [--steps N] [--only NAME]
#
# Checks the promise on networks beyond the article's, with clipping by the global norm and a cosine
# schedule with warm-up: a residual network with batch normalisation, one with group normalisation,
# one with depthwise convolutions, and a one-dimensional one. For each of them:
#
#   shapes   150 steps on 1, 2, 3 and 5 workers, each with 1 and 2 threads and 0, 1 and 3 servers:
#            all 24 runs have one weights_sha256
#   kills    N steps (20000) on 3 workers and 2 servers with 25 kills (kill -9) at random moments
#            over all roles, against an undisturbed run
#   resumes  the same steps with three kills of everything at once, each followed by a resume with
#            other numbers of workers and servers
#
# Prints a line a check, and ends with 0 only when all hold; see Scripts/chaos.sh for what a run with
# kills has to hold. Takes some five minutes a network on two cores. CONVOY=PROGRAM checks that
# program and builds nothing.
# shellcheck disable=SC2034,SC2154 # common.sh reads what is set here, and sets what is read
set -euo pipefail

bench=graphs
# shellcheck source=Scripts/bench/common.sh disable=SC1091
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"

names=(batch-norm group-norm depthwise series)
steps=20000
only=()
while (($# > 0)); do
    (($# > 1)) || usage_error "$1: its value is missing"
    case $1 in
    --steps)
        require_count --steps "$2"
        steps=$2
        ;;
    --only)
        [[ " ${names[*]} " == *" $2 "* ]] || usage_error "--only: expected one of ${names[*]}"
        only+=("$2")
        ;;
    *) usage_error "$1: expected --steps or --only" ;;
    esac
    shift 2
done
((${#only[@]} > 0)) || only=("${names[@]}")
prepare_convoy
export CONVOY=$convoy

layers() { # NAME: the layers of a network on 1 x 28 x 28
    case $1 in
    batch-norm)
        cat <<'YAML'
  - conv2d: {filters: 8, kernel: 3, stride: 2, padding: 1, bias: false}
  - batch-norm
  - relu
  - residual:
      layers:
        - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
        - batch-norm
        - relu
        - conv2d: {filters: 8, kernel: 3, padding: 1, bias: false}
        - batch-norm
  - relu
YAML
        ;;
    group-norm)
        cat <<'YAML'
  - conv2d: {filters: 8, kernel: 3, stride: 2, padding: 1}
  - group-norm: {groups: 4}
  - relu
  - conv2d: {filters: 8, kernel: 3, padding: 1}
  - group-norm: {groups: 2}
  - silu
YAML
        ;;
    depthwise)
        cat <<'YAML'
  - conv2d: {filters: 8, kernel: 3, stride: 2, padding: 1, bias: false}
  - batch-norm
  - relu6
  - conv2d: {filters: 8, kernel: 3, padding: 1, groups: 8, bias: false}
  - batch-norm
  - hard-swish
  - conv2d: {filters: 16, kernel: 1, bias: false}
  - batch-norm
  - relu
YAML
        ;;
    series) # the rows of an image are the steps of a series with one channel after the first layer
        cat <<'YAML'
  - conv2d: {filters: 16, kernel: [28, 1]}
  - conv1d: {filters: 16, kernel: 5, padding: same, bias: false}
  - batch-norm
  - relu
  - conv1d: {filters: 16, kernel: 3, stride: 2, padding: 1}
  - gelu
YAML
        ;;
    esac
}

# train NAME WORKERS THREADS SERVERS: prints the hash of a short run.
train() {
    local run=$directory/run
    rm -rf -- "$run"
    "$convoy" train --config "$directory/$1.run.yaml" --steps 150 --workers "$2" --threads "$3" \
        --servers "$4" --run-dir "$run" >"$run.out" 2>&1 || fail "$1: $(tail -n 2 "$run.out")"
    sed -n 's/^weights_sha256 //p' "$run.out" | grep -xE '[0-9a-f]{64}' || fail "$1: no weights_sha256"
}

failed=0
for name in "${only[@]}"; do
    {
        printf 'input: [1, 28, 28]\nlayers:\n'
        layers "$name"
        printf '  - global-average-pool\n  - dense: {units: 10}\n'
    } >"$directory/$name.yaml"
    cat >"$directory/$name.run.yaml" <<YAML
model: $directory/$name.yaml
training:
  epochs: 1000
  batch-size: 60
  virtual-workers: 5
  checkpoint-every: 500
  clip-norm: 0.5
  schedule: {name: cosine, warmup-steps: 100}
optimizer: {name: sgd, learning-rate: 0.05, momentum: 0.9}
YAML
    hashes=()
    for workers in 1 2 3 5; do
        for threads in 1 2; do
            for servers in 0 1 3; do
                hashes+=("$(train "$name" "$workers" "$threads" "$servers")")
            done
        done
    done
    different=$(printf '%s\n' "${hashes[@]}" | sort -u | wc -l)
    echo "$name: ${#hashes[@]} cluster shapes, $different weights_sha256: ${hashes[0]}"
    ((different == 1)) || failed=1
    for kind in kills resumes; do
        flags=(--kills 25 --kill-every 1)
        if [[ $kind == resumes ]]; then flags=(--all-at-once --kills 3 --kill-every 8 --expect "$expect"); fi
        code=0
        "$root/Scripts/chaos.sh" "${flags[@]}" --run-dir "$directory/$name-$kind" -- \
            --config "$directory/$name.run.yaml" --steps "$steps" --workers 3 --servers 2 \
            >"$directory/chaos.out" 2>&1 || code=$?
        grep -E '^(undisturbed|seed|all equal|chaos: FAILED)' "$directory/chaos.out" |
            sed "s/^/$name: $kind: /" || true
        if ((code != 0)); then
            tail -n 20 "$directory/chaos.out" >&2
            saved=$(mktemp -d) && mv -- "$directory/$name-$kind"* "$saved"
            fail "$name: $kind: the files of the run are in $saved" 1
        fi
        [[ $kind == resumes ]] ||
            expect=$(sed -n 's/^seed .*weights_sha256 \([0-9a-f]*\)$/\1/p' "$directory/chaos.out")
    done
done
exit "$failed"
