#!/usr/bin/env bash
# Usage: Scripts/engines/data.sh [--quick] [CHECK...]
#
# Checks own data against other tools:
#   tables    Scripts/to_partitions.py: Parquet, HDF5, and what the package datasets saves
#   folders   images: in the order of torchvision's ImageFolder, decoded and resized as PIL does
#   shards    tar: of what webdataset writes
#   windows   series of csv: as NumPy's sliding_window_view cuts them
#   arrays    npy: of what NumPy saves
#   killed    the same partitions from 1, 2 and 3 threads and processes, and after kill -9
#   bad       bad input: exit code 65 and a line that names the file, within 10 s and 2 GB
# Without CHECK all of them. Installs pyarrow, h5py, Pillow, webdataset and datasets from PyPI in a
# virtual environment, and torch and torchvision in the one of Scripts/bench/peers.sh.
#
# --quick goes without datasets and torch: ImageFolder's rules are written down in data_check.py. It
# installs the rest only with CI=true. DATA_PYTHON=PROGRAM is a Python that has it already.
#
# Prints a line that begins with `ok:` or `skipped:`, or says what failed and ends with 1.
# CONVOY=PROGRAM checks that program.
set -euo pipefail

# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" data

quick=false
if [[ ${1:-} == --quick ]]; then
    quick=true
    shift
fi
checks=("$@")
((${#checks[@]} > 0)) || checks=(tables folders shards windows arrays killed bad)

export PYTHONDONTWRITEBYTECODE=1
wheels=(numpy==2.4.6 pyarrow==26.0.1 h5py==3.16.0 pillow==13.0.0 webdataset==1.0.2)
environment=data-quick
if ! $quick; then
    wheels+=(datasets==5.2.0)
    environment=data
fi
if [[ -n ${DATA_PYTHON:-} ]]; then
    python=$DATA_PYTHON
elif $quick && [[ ${CI:-} != true && ! -f $cache/$environment/complete ]]; then
    echo "skipped: data: ${wheels[*]} are not installed in $cache/$environment; CI=true does it"
    exit 0
else
    need_python "$environment" "${wheels[@]}"
fi

# Prints the Python that has torch and torchvision.
torch_python() {
    (
        # shellcheck disable=SC2034 # environments.sh reads it
        bench=data
        # shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
        source "$root/Scripts/bench/peers/environments.sh"
        prepare_environment torch >&2
        echo "$cache/torch/bin/python"
    )
}

for check in "${checks[@]}"; do
    # shellcheck disable=SC2031 # the subshell of torch_python has its own
    chosen=$python extra=()
    case $check in
    tables) $quick || extra=(datasets) ;;
    folders)
        if ! $quick; then
            chosen=$(torch_python) || fail "the environment with torchvision"
            extra=(torchvision)
        fi
        ;;
    killed) if $quick; then extra=(3); else extra=(30); fi ;;
    shards | windows | arrays | bad) ;;
    *) fail "$check: not known" ;;
    esac
    "$chosen" "$engines/data_check.py" "$check" "$convoy" "$directory/$check" "${extra[@]}" ||
        fail "data_check.py $check"
done
succeed "${checks[*]}"
