#!/usr/bin/env bash
# Usage: source Scripts/bench/peers/environments.sh
#
# The Python environments of the peers, one below `cache` for each, never in the repository.
# Packages come from pip's index, by default PyPI. This is the only place with their versions.

declare -A requirements=(
    [torch]='torch==2.13.0 torchvision==0.28.0 pillow==13.0.0 numpy==2.4.6 pyyaml==6.0.3'
    [keras]='tensorflow-cpu==2.21.0'
    [mxnet]='mxnet==1.9.1 numpy==1.23.5'
    [pictures]='pillow==13.0.0'
)
cache=${CONVOY_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/convoy/peers}

# Python, and the libraries that MXNet's wheel needs.
peer_packages=(python3 python3-venv libgomp1 libquadmath0)

# Puts the first Python that fits into `python`; fails when there is none. NumPy 1.23.5, the last
# that MXNet works with, has wheels up to Python 3.11; TensorFlow and PyTorch need 3.10.
find_python() {
    local candidate
    for candidate in python3.11 python3.10 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' >/dev/null 2>&1; then
            python=$(command -v "$candidate")
            return 0
        fi
    done
    return 1
}

install_peer_packages() {
    local package missing=() as_root=()
    command -v dpkg-query >/dev/null || return 0
    for package in "${peer_packages[@]}"; do
        # shellcheck disable=SC2016 # dpkg-query expands the field, not the shell
        if [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) \
            != installed ]]; then
            missing+=("$package")
        fi
    done
    ((${#missing[@]} > 0)) || return 0
    if ((EUID != 0)); then as_root=(sudo); fi
    # shellcheck disable=SC2154 # the sourcing script sets it
    echo "$bench: installing ${missing[*]}" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet --no-install-recommends "${missing[@]}" </dev/null >&2 ||
        fail "apt-get could not install ${missing[*]}; try apt-get update"
}

# Makes the environment of peer $1 unless it is there with exactly these versions.
prepare_environment() {
    local name=$1 place=$cache/$1 pins
    pins=${requirements[$name]}
    [[ $(cat -- "$place/.requirements" 2>/dev/null) != "$pins" ]] || return 0
    install_peer_packages
    find_python || fail "no Python 3.10 or 3.11 with venv; MXNet has nothing for later ones"
    echo "$bench: installing $pins into $place" >&2
    mkdir -p -- "$cache"
    "$python" -m venv --clear "$place"
    # shellcheck disable=SC2086 # pins are words
    timeout 1800 "$place/bin/pip" install --quiet --disable-pip-version-check $pins >&2 ||
        fail "pip could not install $pins"
    printf '%s\n' "$pins" >"$place/.requirements"
}
