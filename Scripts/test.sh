#!/usr/bin/env bash
# Usage: Scripts/test.sh [flags of swift test]
#
# Installs missing packages and runs every test on a release build; then the tests of NeuralNetwork
# on a build without oneDNN, the bits of every C kernel on several processors
# (Scripts/engines/kernels.sh), the pixels of pictures beside Pillow's
# (Scripts/engines/pictures.sh), own data beside what other tools read (Scripts/engines/data.sh), a run
# on four hosts (Scripts/engines/hosts.sh), a run with intruders (Scripts/bench/intruders.sh), files of
# Keras there and back (Scripts/engines/weights.sh), and half a minute of fuzzing
# (Scripts/bench/fuzz.sh). With CI=true warnings are errors. Also checks the rules of .swift-format,
# and the scripts where shellcheck is installed. Flags, for instance --filter ZeroMQTests, go to the
# first run of tests.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
cd -- "$root"

section() { printf '\n== %s (%d s)\n' "$1" "$SECONDS"; }

Scripts/setup.sh

if [[ ${CI:-} == true ]]; then export CONVOY_WERROR=on; fi

if command -v shellcheck >/dev/null; then
    section "shellcheck"
    shellcheck Scripts/*.sh Scripts/bench/*.sh Scripts/engines/*.sh Scripts/docs/*.sh Cluster/slurm/train.sbatch .ci/run
fi

section "format"
swift format lint --strict --parallel --recursive Sources Tests Package.swift

section "build"
swift build -c release --build-tests

section "test"
swift test -c release --skip-build "$@"

section "build and test without oneDNN"
CONVOY_ONEDNN=off CONVOY_ONLY=NeuralNetwork swift test -c release \
    --scratch-path .build/no-onednn

section "kernels"
Scripts/engines/kernels.sh

section "pictures"
Scripts/engines/pictures.sh --quick

section "data"
CONVOY=.build/release/convoy Scripts/engines/data.sh --quick

section "hosts"
Scripts/engines/hosts.sh --quick

section "intruders"
CONVOY=.build/release/convoy Scripts/bench/intruders.sh --quick

section "weights"
CONVOY=.build/release/convoy Scripts/engines/weights.sh --quick

section "fuzz"
Scripts/bench/fuzz.sh --quick

section "all tests passed"
