#!/usr/bin/env bash
# Usage: Scripts/bench/import.sh [--files N] [--turns N]
#
# Measures the import of N (10,000) JPEG files of 500 by 375 pixels to 224 by 224, on this machine and
# in one run: libjpeg-turbo with our resize from bare C (Tests/PictureBits, one process and two) beside
# `convoy partition --data images:` with an empty cache, on one core and on two; then the start with a
# full cache. Figures are medians of the turns (3), which the sides take by turns.
#
# Installs Pillow from PyPI in a virtual environment to write the files. CONVOY=PROGRAM measures that
# program.
# shellcheck disable=SC2154 # common.sh and environments.sh set it
set -euo pipefail

bench=import
# shellcheck source=Scripts/bench/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"

file_count=10000
turns=3
while (($# > 0)); do
    case $1 in
    --files) require_count --files "${2:-}" && file_count=$2 && shift 2 ;;
    --turns) require_count --turns "${2:-}" && turns=$2 && shift 2 ;;
    *) usage_error "$1: not known" ;;
    esac
done

clang=$(dirname -- "$(readlink -f -- "$(command -v swift)")")/clang
"$clang" -O2 "-I$root/Sources/CPictures/include" "$root"/Tests/PictureBits/picture_bits.c \
    "$root"/Sources/CPictures/*.c -l:libjpeg.a -l:libpng16.a -l:libwebp.a -lz -lm -lpthread \
    -o "$directory/tool" || fail "the tool does not compile"
prepare_environment pictures

"$cache/pictures/bin/python" - "$file_count" "$directory" <<'PYTHON'
"""Writes JPEG files in four folders, of 16 shapes with a byte of their own behind the end."""
import random
import sys
from pathlib import Path

from PIL import Image

count, directory = int(sys.argv[1]), Path(sys.argv[2])
chance = random.Random(1)
shapes = []
for index in range(16):
    soft = Image.frombytes("RGB", (40, 30), chance.randbytes(3600))
    noise = Image.frombytes("RGB", (500, 375), chance.randbytes(562500))
    picture = Image.blend(soft.resize((500, 375), Image.Resampling.BICUBIC), noise, 0.08)
    path = directory / "shape.jpg"
    picture.save(path, quality=88)
    shapes.append(path.read_bytes())
names = []
for index in range(count):
    path = directory / "files" / f"class{index % 4}" / f"{index:06}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(shapes[index % 16])
    names.append(str(path))
half = count // 2
for name, part in (("all", names), ("first", names[:half]), ("second", names[half:])):
    (directory / name).write_text("\n".join(part) + "\n")
PYTHON

cat >"$directory/run.yaml" <<YAML
data:
  source: "images:$directory/files"
  partitions: 16
  image: {size: [224, 224]}
YAML

bare() { "$directory/tool" speed "$1" 224; }
bare_two() {
    bare "$directory/first" >"$directory/rate-1" &
    bare "$directory/second" >"$directory/rate-2" &
    wait
    cat "$directory/rate-1" "$directory/rate-2" | awk '{ sum += $1 } END { printf "%.1f\n", sum }'
}

# Prints the seconds that `convoy data take` of one record takes on the cores $1.
imported() {
    local begin end
    begin=$(date +%s.%N)
    XDG_CACHE_HOME="$directory/xdg" taskset --cpu-list "$1" "$convoy" data take -n 1 \
        --config "$directory/run.yaml" >/dev/null
    end=$(date +%s.%N)
    awk -v b="$begin" -v e="$end" 'BEGIN { printf "%.3f\n", e - b }'
}
rate() { awk -v n="$file_count" '{ printf "%.1f\n", n / $1 }'; }

prepare_convoy
for ((turn = 0; turn < turns; turn++)); do
    take_turn
    bare "$directory/all" >>"$directory/bare-one"
    rm -rf -- "$directory/xdg"
    imported 0 | rate >>"$directory/import-one"
    bare_two >>"$directory/bare-two"
    rm -rf -- "$directory/xdg"
    imported 0,1 | rate >>"$directory/import-two"
    imported 0,1 >>"$directory/again"
    give_turn
done

median() {
    sort -n "$directory/$1" | awk '{ lines[NR] = $1 } END { print lines[int((NR + 1) / 2)] }'
}
row() { # TEXT NAME
    awk -v text="$1" -v import="$(median "import-$2")" -v bare="$(median "bare-$2")" \
        'BEGIN { printf "%-32s %10.0f %10.0f %8.2f\n", text, import, bare, import / bare }'
}
machine
printf '%-32s %10s %10s %8s\n' "$file_count JPEG files, pictures a second" import 'bare C' ratio
row 'one core' one
row 'two cores' two
awk -v one="$(median import-one)" -v two="$(median import-two)" \
    'BEGIN { printf "two cores against one: %.2f\n", two / one }'
echo "second start: $(median again) s"
