"""Results as rows of a table, one per input: JSON Lines, CSV and Parquet, written and read back without loss.

    path     the input's name
    status   "ok" or "error"
    reason   why there is no answer; null where there is one
    label    the most probable class, score its probability
    labels   with several labels: all classes that reach the threshold
    top      the most probable classes with their scores; in CSV the columns label_2, score_2, label_3, ...
    embedding  where asked for; in CSV a JSON list

A name may hold any byte. JSON Lines escapes what is no valid text as a lone surrogate (``\\udcff`` is the byte ff, PEP 383). Parquet
shows it escaped and keeps the exact bytes in ``path_bytes``; of a class, whose folder may be called so too, it keeps the escaped name only. CSV writes it percent-encoded behind ``'%``, and puts ``'`` before
a text that a spreadsheet would run as a formula (or that itself begins with ``'``). :func:`read_rows` undoes all of this.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..errors import UsageError
from ..results import Classification, Failure

Row = dict[str, Any]
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
BATCH = 1000  # rows of one Parquet row group


class Columns(NamedTuple):
    """Which columns a table has."""

    top: int = 5
    multi_label: bool = False
    embeddings: bool = False


class Tally:
    """How many rows went by, and how many of them hold an answer."""

    def __init__(self) -> None:
        self.rows = self.ok = 0

    def add(self, row: Row) -> None:
        self.rows += 1
        self.ok += row["status"] == "ok"

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.add(row)
            yield row


def to_row(answer: Classification | Failure, columns: Columns) -> Row:
    """``answer`` as one row; scores keep six digits, embeddings all that a float32 has."""
    row: Row = {"path": answer.source, "status": "ok", "reason": None, "label": None, "score": None}
    if columns.multi_label:
        row["labels"] = None
    row["top"] = None
    if columns.embeddings:
        row["embedding"] = None
    if isinstance(answer, Failure):
        return row | {"status": "error", "reason": _valid(answer.reason)}
    top = [{"label": label, "score": _digits(score, 6)} for label, score in answer.top(columns.top)]
    row |= {**top[0], "top": top}
    if columns.multi_label:
        row["labels"] = answer.labels
    if columns.embeddings and answer.embedding is not None:
        row["embedding"] = [_digits(value, 9) for value in answer.embedding]
    return row


def to_line(row: Row) -> bytes:
    """``row`` as one line of JSON in UTF-8; only what is no valid text is escaped."""
    return _json(row).encode() + b"\n"


def _json(value: Any) -> str:
    return _valid(json.dumps(value, ensure_ascii=False))


def _valid(text: str) -> str:
    """``text`` with its bytes that are no valid text escaped, which inside JSON is read back as it was."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_text(row: Row, width: int) -> str:
    """``row`` as one line for people, labels ``width`` wide; nothing in it can steer a terminal."""
    path = _visible(row["path"])
    if row["status"] != "ok":
        return f" error  {'':{width}}  {path}  {_visible(row['reason'])}"
    others = [f"{_visible(one['label'])} {one['score']:.1%}" for one in row["top"][1:] if one["score"] >= 0.01]
    rest = f"  ({', '.join(others)})" if others else ""
    return f"{row['score']:6.1%}  {_visible(row['label']):{width}}  {path}{rest}"


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def write_jsonl(rows: Iterable[Row], file: BinaryIO, columns: Columns) -> None:
    file.writelines(map(to_line, rows))


def write_csv(rows: Iterable[Row], file: BinaryIO, columns: Columns) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    ranks = range(2, columns.top + 1)
    lists = [name for name, there in (("labels", columns.multi_label), ("embedding", columns.embeddings)) if there]
    rest = [f"{part}_{rank}" for rank in ranks for part in ("label", "score")]
    writer.writerow(["path", "status", "reason", "label", "score", *rest, *lists])
    for row in rows:
        top = row["top"] or []
        others = [cell for one in top[1:] for cell in (escape(one["label"]), one["score"])]
        head = [escape(row["path"]), row["status"], escape(row["reason"]), escape(row["label"]), row["score"]]
        tail = [row[name] and _json(row[name]) for name in lists]
        writer.writerow([*head, *others, *[None] * (len(rest) - len(others)), *tail])
    text.detach()


def write_parquet(rows: Iterable[Row], file: BinaryIO, columns: Columns) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema = _schema(columns)
    remaining = iter(rows)
    with ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := [_with_bytes(row) for row in islice(remaining, BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _schema(columns: Columns) -> Any:
    import pyarrow as pa

    fields = [(name, pa.string()) for name in ("path", "status", "reason", "label")]
    fields += [("score", pa.float64())]
    if columns.multi_label:
        fields += [("labels", pa.list_(pa.string()))]
    fields += [("top", pa.list_(pa.struct([("label", pa.string()), ("score", pa.float64())])))]
    if columns.embeddings:
        fields += [("embedding", pa.list_(pa.float32()))]
    return pa.schema([*fields, ("path_bytes", pa.binary())])


def _with_bytes(row: Row) -> Row:
    shown = _valid(row["path"])
    valid = {**row, "path": shown, "path_bytes": None if shown == row["path"] else os.fsencode(row["path"])}
    if row["status"] == "ok":
        valid |= {"label": _valid(row["label"]), "top": [{**one, "label": _valid(one["label"])} for one in row["top"]]}
    if row.get("labels"):
        valid["labels"] = [_valid(label) for label in row["labels"]]
    return valid


def escape(text: str | None) -> str | None:
    """``text`` as a CSV cell: no spreadsheet runs it, it is valid UTF-8, and :func:`unescape` gives it back."""
    if text is None:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "'%" + quote_from_bytes(os.fsencode(text))
    return "'" + text if text.lstrip().startswith(FORMULA) or text.startswith((*FORMULA, "'")) else text


def unescape(cell: str) -> str:
    """The text that :func:`escape` made ``cell`` of."""
    if cell.startswith("'%"):
        return os.fsdecode(unquote_to_bytes(cell[2:]))
    return cell.removeprefix("'")


WRITERS: dict[str, Callable[[Iterable[Row], BinaryIO, Columns], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


def format_of(path: str | Path) -> str:
    """What the suffix of ``path`` says, in small letters."""
    return Path(path).suffix.removeprefix(".").lower()


def read_rows(path: str | Path, kind: str | None = None) -> Iterator[Row]:
    """The rows of a file that ``swinkit predict`` wrote in format ``kind``, by default the one that its suffix says.

    Raises :class:`UsageError` for another.
    """
    kind = kind or format_of(path)
    if kind not in READERS:
        raise UsageError(f"{path} does not say its format. Give one of: {', '.join(READERS)}")
    return READERS[kind](Path(path))


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            ranked = ["label", "score"], *([f"label_{rank}", f"score_{rank}"] for rank in range(2, len(cells)))
            top = [
                {"label": unescape(cells[label]), "score": float(cells[score])} for label, score in ranked if cells.get(label)
            ]
            row: Row = {"path": unescape(cells["path"]), "status": cells["status"], "reason": unescape(cells["reason"]) or None}
            row |= {**(top[0] if top else {"label": None, "score": None}), "top": top or None}
            yield row | {name: json.loads(cells[name] or "null") for name in ("labels", "embedding") if name in cells}


def _read_parquet(path: Path) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH):
            for row in batch.to_pylist():
                exact = row.pop("path_bytes")
                yield row if exact is None else {**row, "path": os.fsdecode(exact)}


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {"jsonl": _read_jsonl, "csv": _read_csv, "parquet": _read_parquet}
