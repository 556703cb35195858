"""Manifests: one row per picture, as CSV with a header or as JSON lines."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError, nearest
from .collection import Collection, Sample, counted, shown
from .folders import SPLITS

NAME_FIELDS = ("file_name", "image_path")
LABEL_FIELDS = ("label", "labels")
FIELDS = (NAME_FIELDS, LABEL_FIELDS, ("split",), ("group",))  # of each kind one is enough
CANDIDATES = ("metadata", "manifest", "labels", "annotations")
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs"}  # that part the cells of a CSV
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # how a file of it begins
SEPARATOR = re.compile(r"\s*[;|]\s*")


def find_manifest(folder: Path) -> Path | None:
    """The manifest lying in ``folder``: metadata, manifest, labels or annotations, as .jsonl or .csv, that names pictures."""
    places = (folder / f"{stem}{suffix}" for stem in CANDIDATES for suffix in (".jsonl", ".csv"))
    return next((path for path in places if path.is_file() and _names_pictures(path)), None)


def _names_pictures(path: Path) -> bool:
    try:
        first = next(_rows(path), None)
    except DataError:
        return False
    return first is not None and any(field in first[1] for field in NAME_FIELDS)


def open_manifest(path: Path) -> Collection:
    """Pictures listed in the manifest ``path``, or in the one inside the folder ``path``; names are relative to its folder.

    Columns: file_name (or image_path), label (one) or labels (several: a list, or text parted by ";" or "|"), and where wanted
    split and group; others are left aside, but for a misspelt one of these. Raises :class:`DataError` with the line's number.
    """
    if path.is_dir():
        inside = find_manifest(path)
        if inside is None:
            raise DataError(
                f"{shown(path)}: no manifest; expected metadata.csv or metadata.jsonl with a column file_name or image_path"
            )
        path = inside
    columns: dict[str, None] = {}
    records = []
    for line, row in _rows(path):
        records.append(_record(path, line, row))
        columns.update(dict.fromkeys(row))
    several = any(is_list for *_, is_list in records)
    classes = _classes({label for _, labels, *_ in records for label in labels})
    number = {name: index for index, name in enumerate(classes)}
    samples = tuple(
        Sample(name, tuple(sorted({number[label] for label in labels})), split, group)
        for name, labels, split, group, _ in records
    )
    kind = "several labels each" if several else "one label each"
    unread = _unread(path, columns)
    if not classes:
        kind = f"no labels in its columns {_columns(columns)}"
    elif unread:
        kind += f"; columns not read: {_columns(unread)}"
    reason = f"manifest {shown(path.name)}: {counted(len(samples), 'row')}, {kind}"
    return Collection(path.parent, "manifest", reason, classes, samples, several)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, row) of each line that holds something. A CSV's cells are parted by the first of :data:`MARKS` by which its header holds the
    name of a field, as spreadsheets write them where the comma is a decimal mark, and tabs."""
    try:
        with open(path, encoding=_encoding(path), errors="surrogateescape", newline="") as stream:
            if path.suffix.lower() == ".jsonl":
                for line, text in enumerate(stream, 1):
                    if text.strip():
                        yield line, _json_row(path, line, text)
                return
            header = stream.readline()
            stream.seek(0)
            mark = next((mark for mark in MARKS if _is_header(header, mark)), ",")
            reader = csv.DictReader(stream, restkey="", delimiter=mark, skipinitialspace=True)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for row in reader:
                if "" in row and isinstance(row[""], list):
                    raise DataError(
                        f"{shown(path)}, line {reader.line_num}: more cells than the header has columns; quote names with {MARKS[mark]}"
                    )
                yield reader.line_num, row
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)}: {error}") from None


def _encoding(path: Path) -> str:
    with open(path, "rb") as stream:
        return "utf-16" if stream.read(2) in UTF16 else "utf-8-sig"


def _is_header(line: str, mark: str) -> bool:
    names = {name.strip() for name in next(csv.reader([line], delimiter=mark), ())}
    return any(names.intersection(kind) for kind in FIELDS)


def _json_row(path: Path, line: int, text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)}, line {line}: no valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise DataError(f"{shown(path)}, line {line}: {type(row).__name__}; expected an object with file_name and label")
    return {name: value for name, value in row.items() if value == value}  # NaN, which tables write where a cell is empty


def _record(path: Path, line: int, row: dict[str, Any]) -> tuple[str, list[str], str | None, str | None, bool]:
    """(name, labels, split, group, whether the row may hold several labels)"""
    where = f"{shown(path)}, line {line}"
    name = next((row[field] for field in NAME_FIELDS if row.get(field)), None)
    if not isinstance(name, str) or "\0" in name:
        raise DataError(f"{where}: no {' or '.join(NAME_FIELDS)}; columns are {_columns(row)}")
    field = next((field for field in reversed(LABEL_FIELDS) if row.get(field) not in (None, "")), None)
    value = row[field] if field else None
    if field == "labels" and isinstance(value, str) and value.lstrip().startswith("["):
        value = _list(value, where)
    several = isinstance(value, list) or "labels" in row
    if isinstance(value, dict):
        raise DataError(f"{where}: {field} is an object; expected text, a number or a list of them")
    if isinstance(value, list):
        labels = [_name(item) for item in value]
    elif field == "labels":
        labels = [part for part in SEPARATOR.split(_name(value).strip()) if part]
    else:
        labels = [] if value is None else [_name(value)]
    split = row.get("split") or None
    if split is not None and str(split).lower() not in SPLITS:
        raise DataError(f"{where}: split {str(split)!r}; expected train, val or test")
    group = None if row.get("group") in (None, "") else _name(row["group"])
    _check_characters(where, name, *labels, group or "")
    _check_encoding(where, path, *labels, group or "")
    return name, labels, SPLITS[str(split).lower()] if split else None, group, several


def _check_characters(where: str, *texts: str) -> None:
    """Raises :class:`DataError` for half a character of UTF-16, which JSON can escape and no file name can hold."""
    for text in texts:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise DataError(f"{where}: {text!r} holds half a character (a lone surrogate). Mend: write the whole one") from None


def _check_encoding(where: str, path: Path, *texts: str) -> None:
    """Raises :class:`DataError` for bytes that are no UTF-8, which a file's name may hold and the name of a class or a group may not."""
    kind = "JSON lines in" if path.suffix.lower() == ".jsonl" else "CSV"
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(f"{where}: '{shown(text)}' is not UTF-8. Mend: save the file as {kind} UTF-8") from None


def _name(value: Any) -> str:
    """``value`` as text; of a number in JSON, 1.0 is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _list(text: str, where: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: labels {shown(text)} begin like a JSON list and are none ({error})") from None
    return found if isinstance(found, list) else [found]


def _unread(path: Path, columns: Iterable[str]) -> list[str]:
    """Those of ``columns`` that say nothing here. Raises :class:`DataError` for one that looks like a field that is missing."""
    absent = [name for kind in FIELDS if not set(kind).intersection(columns) for name in kind]
    unread = [name for name in columns if name and not any(name in kind for kind in FIELDS)]
    for name in unread:
        if meant := nearest(name.lower(), absent, "", likeness=0.8):
            raise DataError(f"{shown(path)}: nothing reads the column {shown(name)!r}. {meant} Mend: rename the column")
    return unread


def _columns(names: Iterable[str]) -> str:
    return ", ".join(shown(str(name)) for name in names) or "none"


def _classes(names: set[str]) -> tuple[str, ...]:
    """Sorted; by value where all are whole numbers, of which 7 and 07 are two names."""
    numeric = all(re.fullmatch(r"-?\d{1,18}", name) for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if numeric else 0, name)))
