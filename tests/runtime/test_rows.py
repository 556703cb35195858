import csv
import io
import json
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swinkit.errors import UsageError
from swinkit.results import Classification, Failure
from swinkit.runtime.rows import FORMULA, WRITERS, Columns, Tally, escape, read_rows, to_line, to_row, to_text, unescape

# what a file may be called: any bytes but NUL, as Python shows them
FILE_NAMES = st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name).map(os.fsdecode)
HOSTILE = (
    "two\nlines.png",
    "😀.png",
    "-rf.png",
    os.fsdecode(b"\xff\xfe.png"),
    "=cmd|' /C calc'!A0",
    "'quoted",
    "'%ff",
    "%ff",
    '"a",b',
)


def rows(names, columns):
    answers = [
        Classification(("=a", "b", "c"), (0.2, 0.1 + 0.5, 0.2), name, columns.multi_label, embedding=[0.1, -2.5e-8])
        for name in names
    ]
    answers += [Failure(name, f"broken: {name}") for name in names]
    return [to_row(answer, columns) for answer in answers]


@settings(deadline=None, max_examples=30)
@given(st.lists(FILE_NAMES, max_size=4))
@example(list(HOSTILE))
@pytest.mark.parametrize("kind", WRITERS)
def test_fault_21_every_name_comes_back_from_every_format(tmp_path_factory, kind, names):
    path = tmp_path_factory.mktemp("rows") / f"rows.{kind}"
    with path.open("wb") as file:
        WRITERS[kind](rows(names, Columns()), file, Columns())
    assert [row["path"] for row in read_rows(path)] == [*names, *names]


@pytest.mark.parametrize("columns", [Columns(), Columns(top=1), Columns(2, True, True), Columns(3, False, True)])
@pytest.mark.parametrize("kind", WRITERS)
def test_rows_come_back_whole(tmp_path, kind, columns):
    path = tmp_path / f"rows.{kind}"
    written = rows(["a.png", "b.png"], columns)
    with path.open("wb") as file:
        WRITERS[kind](iter(written), file, columns)
    found = list(read_rows(path))
    for row in [*written, *found]:
        if row.get("embedding"):
            row["embedding"] = list(np.float32(row["embedding"]))
    assert found == written


@pytest.mark.parametrize("columns", [Columns(2), Columns(1, multi_label=True)])
@pytest.mark.parametrize("kind", WRITERS)
def test_fault_21_a_class_may_be_called_anything_too(tmp_path, kind, columns):
    name = os.fsdecode(b"caf\xe9")
    written = to_row(Classification((name, "b"), (0.75, 0.25), "x.png", columns.multi_label), columns)
    with (tmp_path / f"rows.{kind}").open("wb") as file:
        WRITERS[kind](iter([written]), file, columns)
    (found,) = read_rows(tmp_path / f"rows.{kind}")
    shown = "caf\\udce9" if kind == "parquet" else name
    assert (found["label"], found["top"][0]["label"], found.get("labels", [shown])) == (shown, shown, [shown])


@given(st.text(max_size=10) | FILE_NAMES)
@example("'%41")
@example(" =1+1")
def test_fault_38_no_cell_of_a_csv_is_a_formula(text):
    cell = escape(text)
    assert not cell.lstrip().startswith(FORMULA)
    assert not cell.startswith(FORMULA)
    cell.encode("utf-8")
    assert unescape(cell) == text


def test_fault_38_formulas_in_a_written_csv(tmp_path):
    stream = io.BytesIO()
    WRITERS["csv"](rows(HOSTILE, Columns()), stream, Columns())
    cells = [cell for line in csv.reader(io.StringIO(stream.getvalue().decode("utf-8"))) for cell in line]
    assert "'=a" in cells
    assert not [cell for cell in cells if cell.startswith(FORMULA)]


def test_jsonl_is_utf_8_and_escapes_only_what_is_no_text():
    assert to_line({"path": "ß😀\n"}) == '{"path": "ß😀\\n"}\n'.encode()
    assert to_line({"path": os.fsdecode(b"\xff.png")}) == b'{"path": "\\udcff.png"}\n'


def test_the_screen_gets_one_harmless_line_per_row():
    (good, bad) = rows(["\x1b[2J\u202eevil\n.png"], Columns())
    for row in (good, bad):
        assert to_text(row, 5).isprintable()
    assert to_text(good, 5).startswith(" 60.0%  b      \\x1b[2J")


def test_embeddings_keep_all_of_a_float32():
    values = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    row = to_row(Classification(("a",), (1.0,), "x", embedding=values.tolist()), Columns(1, False, True))
    assert (np.array(json.loads(to_line(row))["embedding"], np.float32) == values).all()


def test_a_tally_counts_what_goes_by():
    tally = Tally()
    assert len(list(tally.count(rows(["a", "b", "c"], Columns())))) == 6
    assert (tally.rows, tally.ok) == (6, 3)


def test_the_format_is_that_of_the_suffix_in_any_case_or_the_given_one(tmp_path):
    written = rows(["a.png"], Columns(2))
    for name, kind in (("rows.CSV", None), ("rows.txt", "csv")):
        with (tmp_path / name).open("wb") as file:
            WRITERS["csv"](written, file, Columns(2))
        assert [row["path"] for row in read_rows(tmp_path / name, kind)] == ["a.png", "a.png"]
    with pytest.raises(UsageError, match=r"rows\.txt does not say its format"):
        read_rows(tmp_path / "rows.txt")
