#!/usr/bin/env python3
"""Writes a partitioned directory from Parquet, HDF5, or a data set of Hugging Face.

Usage: to_partitions.py --parquet FILE_OR_GLOB... --output DIR [--image COLUMN] [--label COLUMN]
       to_partitions.py --hdf5 FILE --images DATASET --labels DATASET --output DIR
       to_partitions.py --hf DIR --output DIR [--image COLUMN] [--label COLUMN]

Then: convoy train --data partitions:DIR

A record is an image, or the numbers of several columns (--features a,b,c; columns of lists are
series). Images are lists of numbers, files of PNG, JPEG or WebP as bytes, Hugging Face's structs of
bytes and path, or Spark's images. Whole numbers must be 0 to 255, and Convoy divides them by 255;
floats reach the network as they are. Labels that are texts give the classes their names, in the
order of their code points; whole numbers from 0 stay as they are. With --target, numbers are
predicted in place of a label. NaN and infinite numbers are refused.

--hf takes what save_to_disk wrote, or Parquet files with train and test in their names.

The test split is that of --hf; or that of --test-from; or, with --test, the records whose content
has a SHA-256 in that share of its range, so that copies stay together. Records are spread over the
partitions by a hash of their number. Equal input gives equal files. Memory does not grow with the
number of records. DIR is whole or not there.

Needs numpy, pyarrow and Pillow, and h5py for --hdf5. Ends with 65 and one line for data that
cannot be converted, and with 64 for a wrong flag.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys

NAME = "to_partitions"


def end(text: str, status: int) -> None:
    print(f"{NAME}: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(status)


try:
    from convoy_partitions.directory import MOST_PARTITIONS, PartitionedDirectory, is_test
    from convoy_partitions.images import ImageFormat
    from convoy_partitions.labels import LONGEST_NAME, ClassTable
    from convoy_partitions.pictures import FILTERS, PictureDecoder
    from convoy_partitions.records import Meaning, Source
    from convoy_partitions.refusal import Refusal
    from convoy_partitions.tables import ParquetSource, hugging_face, parquet_files
except ImportError as missing:
    end(f"{missing}; pip install numpy pyarrow h5py pillow", 69)


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        end(f"{message}; {NAME}.py --help says more", 64)


def numbers(pattern: str, example: str):
    def parse(text: str) -> tuple[int, ...]:
        match = re.fullmatch(pattern, text)
        values = tuple(map(int, match.groups())) if match else (0,)
        if not all(1 <= value <= 65_535 for value in values):
            raise argparse.ArgumentTypeError(f"expected {example}, found {text!r}")
        return values

    return parse


def fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, found {text!r}")
    return value


def count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or not 1 <= int(text) <= MOST_PARTITIONS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_PARTITIONS}, found {text!r}")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False)
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    add("--parquet", nargs="+", metavar="FILE", help="files, or patterns such as 'set/*.parquet'")
    add("--hdf5", metavar="FILE")
    add("--hf", metavar="DIR", help="what save_to_disk wrote, or Parquet files of a data set")
    add = parser.add_argument
    add("--output", required=True, metavar="DIR", help="missing or empty")
    add("--image", "--images", metavar="COLUMN", help="column or data set (image; images)")
    add("--features", metavar="A,B,C", help="columns of numbers that make a record, no image")
    add("--label", "--labels", metavar="COLUMN", help="column or data set (label; labels)")
    add("--target", nargs="+", metavar="COLUMN", help="numbers to predict, in place of a label")
    add("--shape", type=numbers(r"(\d+)[x,](\d+)[x,](\d+)", "CxHxW"), metavar="CxHxW",
        help="of flat lists, and of bytes that are pixels")
    add("--layout", choices=["chw", "hwc"], default="chw",
        help="order of the pixels of lists and data sets (chw)")
    add("--size", type=numbers(r"(\d+)x(\d+)", "HxW"), metavar="HxW",
        help="what encoded pictures are resized to")
    add("--channels", type=int, choices=[1, 3], default=3, help="of encoded pictures (3)")
    add("--filter", choices=list(FILTERS), default="bilinear", help="of --size (bilinear)")
    add("--test", type=fraction, metavar="FRACTION", help="share of the records for the test split")
    add("--test-from", nargs="+", metavar="FILE", help="files with the test split")
    add("--partitions", type=count, default=8, metavar="N", help="pieces of each split (8)")
    add("--name", help="of the data set (the name of the directory)")
    options = parser.parse_args()
    if options.test is not None and options.test_from is not None:
        parser.error("--test and --test-from: expected one of them, found both")
    if options.hf is not None and options.test_from is not None:
        parser.error("--test-from: expected --parquet or --hdf5, found --hf, which has its own")
    if options.features is not None and (options.image is not None or options.hdf5 is not None):
        parser.error("--features: expected columns of tables in place of an image, found both")
    if options.target is not None and options.label is not None:
        parser.error("--target and --label: expected one of them, found both")
    if options.hdf5 is not None and options.test_from is not None and len(options.test_from) > 1:
        parser.error("--test-from: expected one HDF5 file, found several")
    options.name = options.name or os.path.basename(os.path.abspath(options.output))
    if not options.name.isprintable() or len(options.name.encode()) > LONGEST_NAME:
        parser.error(f"--name: expected at most {LONGEST_NAME} printable bytes, found others")
    return options


def meaning_of(options: argparse.Namespace) -> Meaning:
    plural = "s" if options.hdf5 is not None else ""
    return Meaning(
        image=options.image or f"image{plural}",
        features=tuple(filter(None, (options.features or "").split(","))),
        label=options.label or f"label{plural}",
        targets=tuple(options.target or ()),
        format=ImageFormat(options.shape, options.layout),
        decoder=PictureDecoder(options.size, options.channels, options.filter))


def sources(options: argparse.Namespace, meaning: Meaning) -> tuple[dict[str, Source], list[str]]:
    """A source for each split, and notes."""
    if options.hf is not None:
        found, notes = hugging_face(options.hf, meaning)
        if "test" in found and options.test is not None:
            raise Refusal(
                f"{options.hf}: expected no test split for --test, found one; leave out --test")
        return found, notes
    if options.hdf5 is not None:
        try:
            from convoy_partitions.hdf5 import HDF5Source
        except ImportError as missing:
            end(f"{missing}; pip install h5py", 69)
        found = {"training": HDF5Source(options.hdf5, meaning)}
        if options.test_from is not None:
            found["test"] = HDF5Source(options.test_from[0], meaning)
        return found, []
    found = {"training": ParquetSource(parquet_files(options.parquet), meaning)}
    if options.test_from is not None:
        found["test"] = ParquetSource(parquet_files(options.test_from), meaning)
    return found, []


def convert(options: argparse.Namespace) -> None:
    meaning = meaning_of(options)
    with PartitionedDirectory(options.output, options.partitions) as output:
        found, notes = sources(options, meaning)
        classes = None if meaning.targets else ClassTable()
        for split, source in found.items():
            for batch in source.batches():
                answers = batch.answers
                if classes is not None:
                    if source.class_names is not None:
                        classes.adopt(source.class_names, batch.place)
                    answers = classes.provisional(answers, batch.place)
                if split == "training" and options.test is not None:
                    chosen = is_test(batch.images, options.test)
                    output.add("test", batch.images[chosen], answers[chosen], batch.place)
                    output.add(split, batch.images[~chosen], answers[~chosen], batch.place)
                else:
                    output.add(split, batch.images, answers, batch.place)
        if classes is not None:
            classes.close()
        manifest = output.finish(options.name, classes)
        if meaning.decoder.rotated:
            notes.append(
                f"{meaning.decoder.rotated} pictures have an EXIF orientation, which is ignored")
        if classes is not None and classes.empty_classes():
            notes.append(f"{classes.empty_classes()} of {classes.count} classes have no record")
        if output.count("test") == 0:
            notes.append("there are no test records; --test or --test-from gives some")
    for note in notes:
        print(f"note: {note}")
    kind = f"{manifest['classes']} classes" if classes else f"{manifest['targets']} targets"
    print(
        f"{options.output}: {output.count('training')} training and {output.count('test')} test "
        f"records, {manifest['shape']} {manifest['dtype']}, {kind}, "
        f"{len(manifest['training'])} + {len(manifest['test'])} partitions")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        convert(arguments())
    except Refusal as error:
        end(str(error), 65)
    except OSError as error:
        end(f"{error.filename or 'output'}: {error.strerror or error}", 65)
    except MemoryError:
        end("expected records that fit into memory one at a time, found no room", 65)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
