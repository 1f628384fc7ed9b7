#!/usr/bin/env bash
# Usage: Scripts/setup.sh
#
# Installs the missing ones of the Debian packages that Convoy is built with and trains on, and
# checks that Swift is installed. Quick and silent when nothing is missing. Uses sudo when not root.
#
#   libzmq3-dev            ZeroMQ, what processes talk over
#   libdnnl-dev            oneDNN, the fast compute backend
#   libssl-dev             SHA-256 (libcrypto)
#   libjpeg-dev            reads JPEG pictures
#   libpng-dev             reads and writes PNG pictures
#   libwebp-dev            reads WebP pictures
#   pkg-config             finds libraries for the Swift package manager
#   zlib1g-dev             reads gzip data sets
#   dataset-fashion-mnist  the data set of a run without arguments
set -euo pipefail

swift_page=https://www.swift.org/install/linux
packages=(libzmq3-dev libdnnl-dev libssl-dev libjpeg-dev libpng-dev libwebp-dev pkg-config zlib1g-dev
    dataset-fashion-mnist)
required_swift=6.1

fail() {
    echo "setup: error: $1" >&2
    exit "${2:-69}"
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        # shellcheck disable=SC2016 # dpkg-query expands the field, not the shell
        if [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) \
            != installed ]]; then
            echo "$package"
        fi
    done
}

install_packages() {
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            fail "these packages are missing and sudo is not there; as root: apt-get install $*"
        as_root=(sudo)
    fi
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install --yes --quiet --no-install-recommends)
    echo "setup: installing $*" >&2
    # The package lists on the machine may be good enough; they are fetched only when they are not.
    if ! "${install[@]}" "$@" </dev/null >/dev/null 2>&1; then
        "${as_root[@]}" apt-get update --quiet </dev/null >&2 ||
            fail "apt-get update failed; is there a network, and is apt configured?"
        "${install[@]}" "$@" </dev/null >&2 || fail "apt-get could not install $*"
    fi
}

check_swift() {
    command -v swift >/dev/null ||
        fail "swift is not in PATH; get Swift $required_swift or later from $swift_page"
    local found
    found=$(swift --version 2>/dev/null |
        sed -n '0,/.*Swift version \([0-9][0-9.]*\).*/s//\1/p')
    [[ -n $found ]] || fail "swift --version says nothing that looks like a version"
    if [[ $(printf '%s\n' "$required_swift" "$found" | sort --version-sort | head -n 1) \
        != "$required_swift" ]]; then
        fail "expected Swift $required_swift or later, found $found; get it from $swift_page"
    fi
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup: no apt here; install what Debian calls ${packages[*]} yourself" >&2
else
    mapfile -t missing < <(missing_packages)
    if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
fi
check_swift
