#!/usr/bin/env bash
# Usage: Scripts/fetch-solar.sh [DIR]
#
# Puts 2,624 pictures of solar cells into DIR (data/solar): 821 in DIR/defect, where the probability of
# a defect is 0.5 or more, and 1,803 in DIR/ok. They are grey, 300 x 300 pixels, PNG. They come from
# the package elpv-dataset 1.0.0.post1 on PyPI (90 MB); nothing of it is executed. Then:
#   convoy train --config Cluster/solar.yaml
#
# The pictures are those of Buerhop-Lutz et al., "A Benchmark for Visual Identification of Defective
# Solar Cells in Electroluminescence Imagery", EU PVSEC 2018. Their licence, CC BY-NC-SA 4.0, allows no
# commercial use; it is put into DIR/LICENSE.md. DIR is whole or not there.
set -euo pipefail

# shellcheck source=Scripts/fetch-wheel.sh
source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/fetch-wheel.sh" fetch-solar

directory=${1:-data/solar}
checksum=f49bc8174001ad3f412aa98c94490e59d2755c9006ccff961c2b276c91bc1fba
licence="licence CC BY-NC-SA 4.0, not for commercial use: $directory/LICENSE.md"

if ! start_directory "$directory" "$checksum"; then
    echo "$directory is there already: 821 pictures of defect and 1803 of ok cells; $licence"
    exit 0
fi
fetch_wheel elpv-dataset 1.0.0.post1 \
    85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c 90

python3 - "$wheel" "$unfinished" <<'PYTHON' || fail "$wheel does not unpack; is the disk full?" 65
import pathlib
import sys
import zipfile

wheel, target = sys.argv[1], pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as archive:
    def content(name):
        return archive.read(name)

    lines = content("elpv_dataset/data/labels.csv").decode("ascii").split("\n")
    for name in ("defect", "ok"):
        (target / name).mkdir()
    for line in filter(None, lines):
        # The picture, the probability that the cell has a defect, and the kind of module.
        picture, probability, _ = line.split()
        name = "defect" if float(probability) >= 0.5 else "ok"
        (target / name / pathlib.PurePosixPath(picture).name).write_bytes(
            content(f"elpv_dataset/data/{picture}"))
    (target / "LICENSE.md").write_bytes(
        content("elpv_dataset-1.0.0.post1.dist-info/licenses/LICENSE.md"))
PYTHON
finish_directory "$directory" "$checksum"
echo "$directory is complete: 821 pictures of defect and 1803 of ok cells; $licence"
