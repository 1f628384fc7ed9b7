"""Classes from labels of any kind, as they turn up."""

from __future__ import annotations

import numpy as np

from .refusal import Refusal

MOST_CLASSES = 65_536
LONGEST_NAME = 1024


class ClassTable:
    """Numbers classes in the order in which they turn up; `close` gives them their final numbers.

    Whole numbers from 0 stay as they are. Other labels (texts, truth values, numbers below 0)
    become classes in their order, which for texts is that of their code points, and give the
    classes their names.
    """

    def __init__(self) -> None:
        self._numbers: dict[int | str | bool, int] = {}
        self._order: np.ndarray | None = None
        self.names: list[str] | None = None
        """Names of the classes; None when they have numbers alone."""
        self.count = 0

    def adopt(self, names: list[str], place: str) -> None:
        """Takes the names that a source has for the classes 0, 1, ..."""
        if self.names is not None and names != self.names:
            raise Refusal(f"{place}: expected the class names of the files before, found others")
        if self.names is None:
            if len(names) > MOST_CLASSES or len(set(names)) < len(names):
                raise Refusal(
                    f"{place}: expected at most {MOST_CLASSES} unlike class names, found "
                    f"{len(names)}, {len(set(names))} of them unlike")
            for name in names:
                _require_name(name, place)
            self.names = list(names)

    def provisional(self, values: np.ndarray, place: str) -> np.ndarray:
        """Provisional numbers of labels [N], as int32."""
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values))[0])
                raise Refusal(
                    f"{place}: label {row} of these: expected a class, found {values[row]}")
            whole = values.astype(np.int64)
            if not np.array_equal(whole, values):
                raise Refusal(
                    f"{place}: expected whole numbers or texts as labels, found fractions; numbers "
                    "to predict are targets (--target)")
            values = whole
        if values.dtype.kind not in "OUiub" or values.ndim != 1:
            raise Refusal(
                f"{place}: expected whole numbers or texts as labels, found {values.dtype} "
                f"{list(values.shape[1:])}")
        found, inverse = np.unique(values, return_inverse=True)
        numbers = np.array([self._number(value, place) for value in found.tolist()], np.int32)
        return numbers[inverse.reshape(-1)].reshape(-1)

    def _number(self, value: int | str | bool, place: str) -> int:
        if value not in self._numbers:
            if len(self._numbers) == MOST_CLASSES:
                raise Refusal(f"{place}: expected at most {MOST_CLASSES} classes, found more")
            if isinstance(value, str):
                _require_name(value, place)
            kinds = {type(known) for known in [*list(self._numbers)[:1], value]}
            if len(kinds) > 1:
                raise Refusal(
                    f"{place}: expected labels of one kind, found texts and numbers, such as "
                    f"{value!r}")
            self._numbers[value] = len(self._numbers)
        return self._numbers[value]

    def close(self) -> None:
        """Settles the final numbers, now that all labels were seen."""
        labels = list(self._numbers)
        is_plain = all(type(label) is int and 0 <= label < MOST_CLASSES for label in labels)
        if is_plain:
            self._order = np.array(labels, np.int32)
            self.count = max(labels, default=-1) + 1
            if self.names is not None:
                if self.count > len(self.names):
                    raise Refusal(
                        f"labels: expected 0 to {len(self.names) - 1}, since the source names "
                        f"{len(self.names)} classes, found {self.count - 1}")
                self.count = len(self.names)
            return
        if self.names is not None and all(type(label) is int for label in labels):
            raise Refusal(
                f"labels: expected 0 to {len(self.names) - 1}, since the source names "
                f"{len(self.names)} classes, found {min(labels)}; -1 often means no label")
        ordered = sorted(labels)
        places = {label: place for place, label in enumerate(ordered)}
        self._order = np.array([places[label] for label in labels], np.int32)
        self.names = [
            str(label).lower() if isinstance(label, bool) else str(label) for label in ordered
        ]
        self.count = len(ordered)

    def final(self, provisional: np.ndarray) -> np.ndarray:
        """Final numbers of provisional ones, as int32."""
        assert self._order is not None, "close comes first"
        return self._order[provisional]

    def empty_classes(self) -> int:
        """How many classes have no record at all."""
        return self.count - len(self._numbers)


def _require_name(name: str, place: str) -> None:
    if not name or len(name.encode("utf-8", "replace")) > LONGEST_NAME or not name.isprintable():
        raise Refusal(
            f"{place}: expected names of classes of 1 to {LONGEST_NAME} bytes and printable "
            f"characters, found {name[:40]!r}{' and more' if len(name) > 40 else ''}")
