#!/usr/bin/env bash
# Usage: Scripts/fetch-cifar10.sh [DIR]
#
# Puts the CIFAR-10 data set, binary version, into DIR/cifar-10-batches-bin (DIR: data). An archive
# that is in DIR already is not fetched again. Then:   convoy train --data cifar10:DIR
set -euo pipefail

directory=${1:-data}
archive_name=cifar-10-binary.tar.gz
url=https://www.cs.toronto.edu/~kriz/$archive_name
# As published on https://www.cs.toronto.edu/~kriz/cifar.html
md5=c32a1d4ab5d03f1284b67883e8d87530
batches=(data_batch_{1..5}.bin test_batch.bin)
batch_byte_count=30730000
target=$directory/cifar-10-batches-bin
archive=$directory/$archive_name

by_hand() {
    cat >&2 <<END
By hand: fetch $url
with any browser (MD5 $md5), put it at
$archive and run this script again; or put ${batches[*]}
into $target. Then: convoy train --data cifar10:$directory
END
}

fail() {
    echo "fetch-cifar10: error: $1" >&2
    exit "${2:-69}"
}

is_complete() {
    local batch
    for batch in "${batches[@]}"; do
        [[ -f $target/$batch && $(stat --format=%s "$target/$batch") == "$batch_byte_count" ]] ||
            return 1
    done
}

has_checksum() { [[ $(md5sum <"$1") == "$md5 "* ]]; }

# Fetches to a temporary name, so that the archive under its right name is always whole.
download() {
    local partial
    partial=$(mktemp "$archive.XXXXXX")
    # shellcheck disable=SC2064 # expand the name now
    trap "rm -f -- '$partial'" EXIT
    echo "fetch-cifar10: fetching $url (170 MB)" >&2
    local tool=(curl --fail --location --silent --show-error --connect-timeout 20 --retry 2
        --output "$partial" "$url")
    if ! command -v curl >/dev/null; then
        command -v wget >/dev/null || {
            by_hand
            fail "neither curl nor wget is installed"
        }
        tool=(wget --quiet --timeout=20 --tries=3 --output-document="$partial" "$url")
    fi
    if ! "${tool[@]}"; then
        by_hand
        fail "cannot fetch $url; is there a connection to the Internet?"
    fi
    has_checksum "$partial" || fail "what $url sent has not the MD5 sum $md5; try again" 65
    mv -- "$partial" "$archive"
}

unpack() {
    local unpacked
    unpacked=$(mktemp --directory "$directory/unpacking.XXXXXX")
    # shellcheck disable=SC2064 # expand the name now
    trap "rm -rf -- '$unpacked'" EXIT
    tar --extract --gzip --no-same-owner --file "$archive" --directory "$unpacked" ||
        fail "cannot unpack $archive; is the disk full?" 65
    mkdir -p -- "$target"
    mv -- "$unpacked"/cifar-10-batches-bin/* "$target/"
}

if is_complete; then
    echo "$target is there already; train with --data cifar10:$directory"
    exit 0
fi
mkdir -p -- "$directory"
if [[ -f $archive ]]; then
    has_checksum "$archive" ||
        fail "$archive has not the MD5 sum $md5; remove it and run this script again" 65
else
    download
fi
unpack
is_complete || fail "$archive did not hold ${batches[*]} of $batch_byte_count bytes each" 65
echo "$target is complete; train with --data cifar10:$directory"
