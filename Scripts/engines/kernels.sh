#!/usr/bin/env bash
# Usage: Scripts/engines/kernels.sh
#
# Compiles every C kernel for this processor and for 64-bit ARM, and compares the bits of their
# results (Tests/KernelBits): each version of the code that this processor can run (every processor,
# AVX2, AVX-512), and ARM's under qemu-aarch64. Checks that no kernel is missing. Takes 20 s.
#
# The compiler is Swift's clang. Installs Debian's qemu-user and the C library of the cross compiler;
# without CI=true only where that needs no password, otherwise ARM is left out.
#
# Prints lines that begin with `ok:` or `skipped:`, or says what differs and ends with 1.
set -euo pipefail

# Nothing is trained here; the functions below need some program.
export CONVOY=${CONVOY:-/bin/true}
# shellcheck source=Scripts/engines/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh" kernels

clang=$(dirname -- "$(readlink -f -- "$(command -v swift)")")/clang
[[ -x $clang ]] || fail "no clang beside swift; expected $clang"
flags=(-O2 -Wall -Wextra -Werror "-I$root/Sources/CKernels/include")
sources=("$root"/Tests/KernelBits/kernel_bits.c "$root"/Sources/CKernels/*.c)

"$clang" "${flags[@]}" "${sources[@]}" -lm -o "$directory/here" || fail "compiling for this processor"
versions=()
for level in 0 1 2; do
    status=0
    "$directory/here" "$level" >"$directory/$level" 2>"$directory/error" || status=$?
    case $status in
    0) versions+=("$level") ;;
    3) echo "skipped: kernels: $(cat "$directory/error")" ;;
    *) fail "level $level ended with $status" "$directory/error" ;;
    esac
done
((${#versions[@]} > 0)) || fail "no version of the code ran"
first=$directory/${versions[0]}

# Functions of the headers that compute something, against those that were called.
grep -hoE '^(static inline )?[a-z].*\bconvoy_[a-z0-9_]+\(' "$root"/Sources/CKernels/include/*.h |
    grep -oE 'convoy_[a-z0-9_]+\($' | tr -d '(' | sort -u |
    grep -vxE 'convoy_(lanes_level|lanes_hold_back|use_huge_pages|winograd_point|winograd_packed_point)' \
        >"$directory/declared"
cut -d ' ' -f 1 "$first" | sort -u >"$directory/called"
diff "$directory/declared" "$directory/called" >"$directory/missing" ||
    fail "kernels without a case in Tests/KernelBits/kernel_bits.c" "$directory/missing"

compare() { # NAME FILE
    diff "$first" "$2" >"$directory/different" ||
        fail "$1 computes other bits than level ${versions[0]}" "$directory/different"
}
for level in "${versions[@]}"; do compare "level $level" "$directory/$level"; done
succeed "$(wc -l <"$first") kernels, equal bits with levels ${versions[*]}"

if [[ $(uname -m) != x86_64 ]]; then
    echo "skipped: kernels: the cross compilation for ARM is for x86-64 hosts"
    exit 0
fi
cross=/usr/aarch64-linux-gnu
libraries=$(compgen -G '/usr/lib/gcc-cross/aarch64-linux-gnu/*/libgcc.a' | tail -n 1 || true)
if ! command -v qemu-aarch64 >/dev/null || [[ ! -e $cross/lib/libc.a || -z $libraries ]]; then
    if [[ ${CI:-} != true && $EUID != 0 ]] && ! sudo -n true 2>/dev/null; then
        echo "skipped: kernels: ARM needs qemu-user, libc6-dev-arm64-cross and libgcc-12-dev-arm64-cross"
        exit 0
    fi
    need_packages qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross
    libraries=$(compgen -G '/usr/lib/gcc-cross/aarch64-linux-gnu/*/libgcc.a' | tail -n 1 || true)
    [[ -n $libraries ]] || fail "no libgcc.a for 64-bit ARM after the installation"
fi
"$clang" --target=aarch64-linux-gnu "${flags[@]}" -isystem "$cross/include" -static -fuse-ld=lld \
    -nostdlib "$cross/lib/crt1.o" "$cross/lib/crti.o" "${sources[@]}" "-L$cross/lib" -lm -lc \
    "$libraries" "${libraries%.a}_eh.a" -lc "$cross/lib/crtn.o" -o "$directory/arm" ||
    fail "compiling for 64-bit ARM"
timeout 300 qemu-aarch64 "$directory/arm" >"$directory/arm.bits" 2>"$directory/error" ||
    fail "the program for ARM ended with $?" "$directory/error"
compare "64-bit ARM" "$directory/arm.bits"
succeed "64-bit ARM has equal bits, under $(qemu-aarch64 --version | head -n 1)"
