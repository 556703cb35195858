"""``swinkit predict`` as its users meet it. `make soak` asks 10,000 files and kills ten runs, CI a tenth of that."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import swinkit
from swinkit.cli.main import run
from swinkit.runtime.rows import read_rows

from ..runtime.conftest import model_folder  # noqa: F401 - a fixture
from ..runtime.pictures import encoded, fill, picture

SOAK = bool(os.environ.get("SWINKIT_SOAK"))
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

# what a name may be: a line break, no text, what a shell, a spreadsheet or a web page would act on
NAMES = (
    b"two\nlines.png",
    "\N{GRINNING FACE}.png".encode(),
    b"\xff\xfe.png",
    b"-rf.png",
    b"=cmd|' ' !A0.png",
    b"<img onerror=x>.png",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    good, broken = fill(folder, good=12, broken=3)
    return folder, good, broken


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder_gives_one_row_per_file_in_order(model_folder, folder, capsys):  # noqa: F811
    place, good, broken = folder
    assert run(["predict", str(model_folder), str(place), "--json", "--top", "2"]) == 0
    out, error = capsys.readouterr()
    rows = lines(out)
    assert [row["path"] for row in rows] == [str(place / name) for name in sorted([*good, *broken])]
    assert [row["status"] for row in rows] == ["ok" if Path(row["path"]).name in good else "error" for row in rows]
    assert all(row["reason"] for row in rows if row["status"] == "error")
    assert all(len(row["top"]) == 2 for row in rows if row["status"] == "ok")
    assert "12 of 15 inputs answered, 3 could not" in error


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_every_format_holds_the_same_rows(model_folder, folder, tmp_path, capsys, suffix):  # noqa: F811
    place, *_ = folder
    out = tmp_path / "new" / f"rows.{suffix}"
    arguments = ["predict", str(model_folder), str(place), "--embeddings", "--workers", "0"]
    assert run([*arguments, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "inputs": 15, "ok": 12, "errors": 3}
    assert run([*arguments, "--format", "jsonl"]) == 0
    for row, expected in zip(read_rows(out), lines(capsys.readouterr().out), strict=True):
        assert row["path"] == expected["path"]
        assert row["label"] == expected["label"]
        assert row["embedding"] == (expected["embedding"] and pytest.approx(expected["embedding"], rel=1e-6))
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_table_is_for_people(model_folder, folder, capsys):  # noqa: F811
    place, good, _ = folder
    assert run(["predict", str(model_folder), *sorted(str(place / name) for name in good)]) == 0
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == len(good)
    assert all("%" in line and str(place) in line for line in out.splitlines())
    assert "Next: the same command with --out predictions.csv" in error
    assert str(place) not in error, "as many names as a shell makes of *.jpg"
    assert run(["predict", str(model_folder), str(place), "--workers", "0"]) == 0
    assert f"Next: swinkit predict {model_folder} {place} --out predictions.csv" in capsys.readouterr().err


@pytest.mark.parametrize("null", [True, False])
def test_fault_21_any_name_from_folder_and_list_comes_back(model_folder, tmp_path, monkeypatch, capsys, null):  # noqa: F811
    names = [name for name in NAMES if null or b"\n" not in name]
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(names):
        Path(os.fsdecode(name)).write_bytes(encoded(number, "PNG"))
    listed = b"".join(name + (b"\0" if null else b"\n") for name in names)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    flags = ["-0"] if null else []
    assert run(["predict", str(model_folder), "-", *flags, "--format", "jsonl", "-q"]) == 0
    rows = lines(capsys.readouterr().out)
    assert [os.fsencode(row["path"]) for row in rows] == names
    assert [row["status"] for row in rows] == ["ok"] * len(names)
    for kind in ("csv", "parquet"):
        assert run(["predict", str(model_folder), ".", "--out", f"../{tmp_path.name}.{kind}", "-q"]) == 0
        found = {os.fsencode(os.path.basename(row["path"])) for row in read_rows(f"../{tmp_path.name}.{kind}")}
        assert found == set(names)


def test_a_name_with_a_leading_dash_is_given_behind_two_dashes(model_folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    picture(0).save("-q.png")
    assert run(["predict", "--format", "csv", "--", str(model_folder), "-q.png"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].startswith("'-q.png,ok,")
    assert f"Next: swinkit predict {model_folder} ./-q.png --out predictions.csv" in printed.err


def test_what_comes_next_can_be_typed(model_folder, folder, monkeypatch, capsys):  # noqa: F811
    place, good, _ = folder
    name = str(place / sorted(good)[0])
    assert run(["predict", str(model_folder), name, "--workers", "0"]) == 0
    assert f"Next: swinkit predict {model_folder} {name} --out predictions.csv" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(name.encode() + b"\0")))
    assert run(["predict", str(model_folder), "-", "-0", "--workers", "0"]) == 0
    assert "Next: the same command with --out predictions.csv" in capsys.readouterr().err


def test_exit_codes(model_folder, folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    model = str(model_folder)
    place, _, broken = folder
    assert run(["predict", model, str(place / broken[0]), "missing.png", "no*match"]) == 3
    out, error = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "None of 3 inputs" in error
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert run(["predict", model, "-"]) == 3
    (tmp_path / "there.csv").write_text("mine")
    for wrong in (["--format", "parquet"], ["--out", "rows.txt"], ["--out", str(tmp_path / "there.csv")], ["--top", "0"]):
        assert run(["predict", model, str(place), *wrong]) == 2
    assert run(["predict", str(tmp_path / "nowhere"), str(place)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_fault_16_to_20_each_file_its_own_answer_or_its_own_reason(model_folder, tmp_path):  # noqa: F811
    """Item 7 of the ground plan: 1,000 files, 100 of them broken in 20 ways."""
    good, broken = fill(tmp_path, *((9_500, 500) if SOAK else (900, 100)))
    out = tmp_path.with_suffix(".jsonl")
    assert run(["predict", str(model_folder), str(tmp_path), "--out", str(out), "-q"]) == 0
    rows = {os.path.basename(row["path"]): row for row in read_rows(out)}
    assert len(list(read_rows(out))) == len(rows) == len(good) + len(broken)
    assert {name for name, row in rows.items() if row["status"] == "error"} == set(broken)
    assert all(rows[name]["reason"] and rows[name]["label"] is None for name in broken)
    assert len({rows[name]["reason"] for name in broken}) >= 12
    alone = swinkit.Predictor(model_folder)
    for name in good:
        answer = alone(tmp_path / name)
        assert rows[name]["score"] == pytest.approx(answer.score, abs=1e-4)
        assert rows[name]["label"] == answer.label


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "--format", "csv"], "--format says csv"),
        (["--json", "--format", "table"], "--format says table"),
        (["--format", "table", "--out", "rows.csv"], "--format table is for the screen"),
        (["--seconds", "inf"], "is not in the range"),
        (["--seconds", "nan"], "nan is no number"),
        (["--seconds", "1", "--workers", "0"], "Leave one of them out"),
        (["-0"], "-0 says how a list on stdin is separated"),
        (["--embeddings"], "A table shows no embeddings"),
    ],
)
def test_what_does_not_fit_together_is_said(arguments, said, capsys):
    assert run(["predict", "swin_nano.fashion_mnist", "photo.png", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="closes streams by a shell")
@pytest.mark.parametrize(
    ("inputs", "closed", "said"),
    [
        ("-", "<&-", "stdin, which is closed"),
        ("- --json", "<&-", "stdin, which is closed"),
        (". --json", ">&-", "output is closed"),
    ],
)
def test_closed_streams_are_told(inputs, closed, said):
    command = f"{sys.executable} -m swinkit predict swin_nano.fashion_mnist {inputs} {closed}"
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="closes streams by a shell")
def test_a_verb_that_has_nothing_to_print_to_ends_well():
    command = f"{sys.executable} -m swinkit bench swin_nano --dry-run -q >&-"
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert "fault" not in done.stderr


def test_an_engine_that_is_not_installed_is_told_before_anything_is_read(model_folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("swinkit.runtime.kinds.is_installed", lambda package: False)
    out = tmp_path / "rows.csv"
    assert run(["predict", str(model_folder), str(tmp_path), "--engine", "openvino", "--out", str(out)]) == 1
    assert "swinkit[export]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


MEMORY = """
import resource, sys
from swinkit.cli.main import run
for count in (sys.argv[3], sys.argv[4]):
    names = "\\n".join(f"{sys.argv[2]}/{number % 50}.bmp" for number in range(int(count)))
    open(sys.argv[2] + "/list.txt", "w").write(names)
    sys.stdin = open(sys.argv[2] + "/list.txt")
    assert run(["predict", sys.argv[1], "-", "-q", "--out", f"{sys.argv[2]}/{count}.csv"]) == 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux only")
def test_fault_16_memory_does_not_grow_with_the_number_of_files(model_folder, tmp_path):  # noqa: F811
    """Half a megabyte each, decoded: 800 pictures more would be 400 MB more."""
    for number in range(50):
        picture(number, side=420).save(tmp_path / f"{number}.bmp")
    arguments = [sys.executable, "-c", MEMORY, str(model_folder), str(tmp_path), "200", "1000"]
    peaks = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.split()
    few, many = map(int, peaks)
    assert many - few < 40


def start(model, folder, out):
    arguments = ["-m", "swinkit", "predict", str(model), str(folder), "--out", str(out), "--batch-size", "4"]
    # a shell's background jobs ignore SIGINT, and so would what they start
    heed = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    return subprocess.Popen([sys.executable, *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def rows_in(part):
    return part.read_bytes().count(b"\n") - 1 if part.exists() else 0


def test_fault_22_a_killed_run_continues_with_each_file_once(model_folder, tmp_path):  # noqa: F811
    kills = 10 if SOAK else 2
    good, broken = fill(tmp_path, good=150 * (kills + 1), broken=20)
    out = tmp_path.with_suffix(".csv")
    part = out.with_name(out.name + ".part")
    for number in range(kills):
        process, before = start(model_folder, tmp_path, out), rows_in(part)
        while process.poll() is None and rows_in(part) < max(before, 0) + 30:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT if number == 1 else signal.SIGKILL)
        _, error = process.communicate(timeout=120)
        assert not out.exists(), "it was killed after its end; the test needs more pictures"
        if number == 1:
            assert process.returncode == 130, error
            assert "the same command continues" in error
    process = start(model_folder, tmp_path, out)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0
    assert "Continuing" in error
    assert [row["path"] for row in read_rows(out)] == [str(tmp_path / name) for name in sorted([*good, *broken])]
    assert sum(row["status"] == "ok" for row in read_rows(out)) == len(good)
    assert not part.exists()
