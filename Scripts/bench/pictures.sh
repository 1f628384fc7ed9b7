#!/usr/bin/env bash
# Usage: Scripts/bench/pictures.sh [--files N] [--turns N]
#
# Measures on this machine and in one run: resizing RGB pixels of 500 by 375 to 224 by 224 with one
# thread, and N (10,000) JPEG files of this size decoded to 224 by 224 with one process and with two,
# by Sources/CPictures and by Pillow; and the import of these files (`images:`) with an empty cache on
# one core and on two, beside Sources/CPictures alone, and the start with a full cache. Prints pictures
# a second, ratios, and the processor's name. Figures are medians of the turns (5), which the sides
# take by turns.
#
# Installs Pillow from PyPI in a virtual environment. Compiles Tests/PictureBits with Swift's clang.
# CONVOY=PROGRAM measures that program and builds nothing.
# shellcheck disable=SC2154 # common.sh and environments.sh set it
set -euo pipefail

bench=pictures
# shellcheck source=Scripts/bench/common.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/common.sh"
# shellcheck source=Scripts/bench/peers/environments.sh disable=SC1091
source "$root/Scripts/bench/peers/environments.sh"

file_count=10000
turns=5
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
python=$cache/pictures/bin/python

cat >"$directory/pillow.py" <<'PYTHON'
"""Pillow's side: `write N DIRECTORY`, `resize ROUNDS` or `files LIST`; prints pictures a second."""
import random
import sys
import time
from pathlib import Path

from PIL import Image

BILINEAR = Image.Resampling.BILINEAR


def write(count, directory):
    chance = random.Random(1)
    shapes = []
    for index in range(16):
        soft = Image.frombytes("RGB", (40, 30), chance.randbytes(3600))
        noise = Image.frombytes("RGB", (500, 375), chance.randbytes(562500))
        picture = Image.blend(soft.resize((500, 375), Image.Resampling.BICUBIC), noise, 0.08)
        path = Path(directory) / f"shape-{index}.jpg"
        picture.save(path, quality=88)
        shapes.append(path.read_bytes())
        path.unlink()
    names = []
    for index in range(count):
        path = Path(directory) / f"class{index % 4}" / f"{index:06}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(shapes[index % len(shapes)])
        names.append(str(path))
    half = len(names) // 2
    for name, part in (("all", names), ("first", names[:half]), ("second", names[half:])):
        Path(f"{directory}-{name}").write_text("\n".join(part) + "\n")


def resize(rounds):
    pixels = random.Random(2).randbytes(562500)
    picture = Image.frombytes("RGB", (500, 375), pixels)
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(rounds):
            picture.resize((224, 224), BILINEAR)
        best = min(best, time.perf_counter() - begin)
    print(f"{rounds / best:.1f}")


def files(names):
    begin = time.perf_counter()
    for name in names:
        with Image.open(name) as picture:
            picture.convert("RGB").resize((224, 224), BILINEAR).tobytes()
    print(f"{len(names) / (time.perf_counter() - begin):.1f}")


if sys.argv[1] == "write":
    write(int(sys.argv[2]), sys.argv[3])
elif sys.argv[1] == "resize":
    resize(int(sys.argv[2]))
else:
    files(Path(sys.argv[2]).read_text().split())
PYTHON

mkdir "$directory/files"
"$python" "$directory/pillow.py" write "$file_count" "$directory/files"

# Two processes, half of the files each; prints the sum of their rates.
two_processes() {
    "$@" "$directory/files-first" >"$directory/rate-1" &
    "$@" "$directory/files-second" >"$directory/rate-2" &
    wait
    cat "$directory/rate-1" "$directory/rate-2" | awk '{ sum += $1 } END { printf "%.1f\n", sum }'
}
ours() { "$directory/tool" speed "$1" 224; }
theirs() { "$python" "$directory/pillow.py" files "$1"; }

cat >"$directory/run.yaml" <<YAML
data:
  source: "images:$directory/files"
  partitions: 16
  image: {size: [224, 224]}
YAML

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
    "$directory/tool" resize-speed 375 500 224 224 200 >>"$directory/resize-ours"
    "$python" "$directory/pillow.py" resize 100 >>"$directory/resize-pillow"
    ours "$directory/files-all" >>"$directory/one-ours"
    theirs "$directory/files-all" >>"$directory/one-pillow"
    two_processes ours >>"$directory/two-ours"
    two_processes theirs >>"$directory/two-pillow"
    rm -rf -- "$directory/xdg"
    imported 0 | rate >>"$directory/import-one"
    rm -rf -- "$directory/xdg"
    imported 0,1 | rate >>"$directory/import-two"
    imported 0,1 >>"$directory/again"
    give_turn
done

median() {
    sort -n "$directory/$1" | awk '{ lines[NR] = $1 } END { print lines[int((NR + 1) / 2)] }'
}
row() { # TEXT NAME
    awk -v text="$1" -v ours="$(median "$2-ours")" -v pillow="$(median "$2-pillow")" \
        'BEGIN { printf "%-44s %10.0f %10.0f %8.2f\n", text, ours, pillow, ours / pillow }'
}
machine
"$python" -c 'import PIL; print("Pillow", PIL.__version__)'
printf '%-44s %10s %10s %8s\n' 'pictures a second' convoy Pillow ratio
row '500x375 to 224x224, bilinear, one thread' resize
row "$file_count JPEG files to 224x224, one process" one
row "$file_count JPEG files to 224x224, two processes" two
awk -v one="$(median one-ours)" -v two="$(median two-ours)" \
    'BEGIN { printf "two processes against one: %.2f\n", two / one }'
import_row() { # TEXT NAME
    awk -v text="$1" -v import="$(median "import-$2")" -v bare="$(median "$2-ours")" \
        'BEGIN { printf "%-44s %10.0f %10.0f %8.2f\n", text, import, bare, import / bare }'
}
printf '%-44s %10s %10s %8s\n' 'import, pictures a second' import 'bare C' ratio
import_row "$file_count JPEG files to 224x224, one core" one
import_row "$file_count JPEG files to 224x224, two cores" two
echo "second start: $(median again) s"
