import errno
import json
from functools import partial

import pytest

from swinkit.errors import SwinkitError, UsageError
from swinkit.results import Failure
from swinkit.runtime.inputs import Input
from swinkit.runtime.journal import Journal
from swinkit.runtime.rows import Columns, read_rows, to_row, write_csv, write_jsonl
from swinkit.weights.atomic import TEMPORARY

ORIGIN = {"model": "abc", "top": 5}
WRITE = partial(write_jsonl, columns=Columns())
NAMES = [f"picture {number}\n.png" for number in range(6)]


def answer(journal, names):
    for item in journal.remaining(map(Input, names)):
        journal.append(to_row(Failure(item.name, "broken"), Columns()))


def interrupted(out, names):
    """The bytes that a run killed after ``names`` leaves."""
    journal = Journal(out, ORIGIN)
    answer(journal, names)
    journal._file.close()
    return journal.part.read_bytes()


def test_fault_22_a_run_killed_at_any_byte_continues_with_each_input_once(tmp_path):
    out = tmp_path / "rows.jsonl"
    content = interrupted(out, NAMES[:3])
    head = content.index(b"\n") + 1
    for size in [0, 1, head - 1, *range(head, len(content) + 1)]:
        (tmp_path / "rows.jsonl.part").write_bytes(content[:size])
        journal = Journal(out, ORIGIN)
        assert journal.tally.rows == content[head:size].count(b"\n")
        answer(journal, NAMES)
        journal.finish(WRITE)
        assert [row["path"] for row in read_rows(out)] == NAMES
        assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
        out.unlink()


def test_fault_22_inputs_that_came_or_went_meanwhile_are_answered_once(tmp_path):
    out = tmp_path / "rows.csv"
    interrupted(out, ["b", "b", "gone", "d"])
    journal = Journal(out, ORIGIN)
    answer(journal, ["a", "b", "b", "b", "d", "e"])
    journal.finish(partial(write_csv, columns=Columns()))
    assert sorted(row["path"] for row in read_rows(out)) == ["a", "b", "b", "b", "d", "e", "gone"]


def test_rows_of_another_model_are_not_continued(tmp_path):
    interrupted(tmp_path / "rows.csv", NAMES[:2])
    with pytest.raises(UsageError, match="different: model"):
        Journal(tmp_path / "rows.csv", {**ORIGIN, "model": "def"})


@pytest.mark.parametrize("content", ['{"mine": 1}\n', '{"origin": 1}\n', "not JSON\n", "[1]\n", "one line without an end"])
def test_a_file_that_is_no_journal_is_not_touched(tmp_path, content):
    (tmp_path / "rows.csv.part").write_text(content)
    with pytest.raises(UsageError, match="another run"):
        Journal(tmp_path / "rows.csv", ORIGIN)
    assert (tmp_path / "rows.csv.part").read_text() == content


def test_damage_in_the_middle_is_refused(tmp_path):
    content = interrupted(tmp_path / "rows.csv", NAMES)
    lines = content.splitlines(keepends=True)
    lines[3] = b"\0" * 20 + b"\n"
    (tmp_path / "rows.csv.part").write_bytes(b"".join(lines))
    with pytest.raises(SwinkitError, match="damaged after 2 rows"):
        Journal(tmp_path / "rows.csv", ORIGIN)


def test_results_are_never_overwritten(tmp_path):
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(UsageError, match="not overwritten"):
        Journal(tmp_path / "rows.csv", ORIGIN)
    assert (tmp_path / "rows.csv").read_text() == "mine"


def test_a_second_run_into_the_same_file_is_refused(tmp_path):
    pytest.importorskip("fcntl")
    first = Journal(tmp_path / "rows.csv", ORIGIN)
    with pytest.raises(UsageError, match="Another run"):
        Journal(tmp_path / "rows.csv", ORIGIN)
    answer(first, NAMES)
    first.finish(WRITE)


def test_a_file_system_without_locks_is_told_of_and_no_obstacle(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    journal = Journal(tmp_path / "rows.csv", ORIGIN)
    assert "has no locks (No locks available)" in journal.note
    answer(journal, NAMES)
    journal.finish(WRITE)


def test_a_result_that_appeared_meanwhile_is_kept(tmp_path):
    journal = Journal(tmp_path / "rows.csv", ORIGIN)
    answer(journal, NAMES)
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(UsageError, match="not overwritten"):
        journal.finish(WRITE)
    assert (tmp_path / "rows.csv").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "rows.csv.part"]


def test_what_a_run_that_was_killed_at_its_end_left_is_removed(tmp_path):
    left, other = (tmp_path / f"{TEMPORARY}01234567-{name}" for name in ("rows.csv", "others.csv"))
    left.write_text("half")
    other.write_text("half")
    journal = Journal(tmp_path / "rows.csv", ORIGIN)
    answer(journal, NAMES)
    journal.finish(WRITE)
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", other.name}


def test_a_failed_end_leaves_the_rows_and_no_result(tmp_path):
    journal = Journal(tmp_path / "rows.csv", ORIGIN)
    answer(journal, NAMES)

    def full(rows, file):
        next(rows)
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        journal.finish(full)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv.part"]
    journal._file.close()
    again = Journal(tmp_path / "rows.csv", ORIGIN)
    assert list(again.remaining(map(Input, NAMES))) == []
    again.finish(WRITE)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == len(NAMES)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_journal_is_not_its_own_input(tmp_path):
    journal = Journal(tmp_path / "rows.jsonl", ORIGIN)
    names = [str(path) for path in tmp_path.iterdir()]
    assert names
    assert list(journal.remaining(map(Input, names))) == []


def test_the_first_line_says_what_the_rows_answer(tmp_path):
    content = interrupted(tmp_path / "rows.jsonl", NAMES)
    assert json.loads(content.splitlines()[0]) == {"origin": ORIGIN}
