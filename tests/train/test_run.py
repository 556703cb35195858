import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from swinkit.errors import DataError, SwinkitError, UsageError
from swinkit.train import run as run_module
from swinkit.train.environment import divergences, environment, revision
from swinkit.train.lock import RunLock
from swinkit.train.place import check_free, first_free
from swinkit.train.run import RunFolder, read_rows
from swinkit.weights.atomic import TEMPORARY, write_atomically

CONFIG = {"lr": 1e-3, "classes": ["a", "зонт"], "augment": {"flip": True, "crop_scale": None}}
DATA = {"fingerprint": "f", "split": {"train": [1, 2], "val": [0]}}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def test_new_run_has_its_description_and_resuming_reads_it_back(out):
    RunFolder.create(out, "x", CONFIG, DATA).close()
    assert yaml.safe_load((out / "config.yaml").read_text("utf-8")) == CONFIG
    assert "зонт" in (out / "config.yaml").read_text("utf-8")
    with RunFolder.resume(out) as run:
        assert (run.config, run.data, run.notes, run.divergences) == (CONFIG, DATA, [], [])
        assert (run.model, run.report) == (out / "model", out / "report.html")


def test_default_folder_is_the_first_free_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = []
    for _ in range(3):
        with RunFolder.create(None, "shoes", {}, {}) as run:
            names.append(run.path.as_posix())
    assert names == ["runs/classify/shoes", "runs/classify/shoes-2", "runs/classify/shoes-3"]


@pytest.mark.parametrize(("content", "mend"), [("config.yaml", "go on with it by --resume .*, or "), ("somebody.txt", "")])
def test_existing_folder_is_never_overwritten(out, content, mend):
    out.mkdir()
    (out / content).write_text("mine")
    with pytest.raises(UsageError, match=rf"already exists.*Mend: {mend}choose another --out"):
        RunFolder.create(out, "x", {}, {})
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(content, "mine")]


def test_file_as_out_is_refused_and_an_empty_folder_is_taken(out, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="already exists"):
        RunFolder.create(tmp_path / "file", "x", {}, {})
    out.mkdir()
    RunFolder.create(out, "x", {}, {}).close()


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_folder_whose_run_was_killed_before_it_began_is_taken_again(out, monkeypatch, written):
    steps = iter(range(3))

    def killed(path, *content):
        if next(steps) == written:
            (path.parent / f"{TEMPORARY}abc-{path.name}").write_text("half")
            raise KeyboardInterrupt
        write_atomically(path, b"{}")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_json", killed)
        patched.setattr(run_module, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder.create(out, "x", CONFIG, DATA)
    RunLock._held.clear()  # as the end of the process would
    RunFolder.create(out, "x", CONFIG, DATA).close()
    RunFolder.resume(out).close()
    assert {path.name for path in out.iterdir()} == {".lock", "config.yaml", "data.json", "env.json"}


def test_a_run_goes_on_beside_what_others_have_not_finished_in_it(out):
    RunFolder.create(out, "x", CONFIG, DATA).close()
    export, rows = out / f"{TEMPORARY}01234567-onnx", out / f"{TEMPORARY}rows.csv"
    export.mkdir()
    rows.write_text("half")
    out.joinpath("model").mkdir()
    killed = out / "model" / f"{TEMPORARY}01234567-model.safetensors"
    killed.write_text("half")
    RunFolder.resume(out).close()
    assert export.is_dir()
    assert rows.is_file()
    assert not killed.exists()


def test_a_run_that_the_disk_refused_leaves_no_lock(out, monkeypatch):
    def refuse(path, value):
        raise SwinkitError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "write_json", refuse)
        with pytest.raises(SwinkitError, match="disk full"):
            RunFolder.create(out, "x", {}, {})
    RunFolder.create(out, "x", {}, {}).close()


def test_a_folder_with_files_like_those_of_a_run_but_no_lock_is_somebody_elses(out):
    out.mkdir()
    (out / "data.json").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        RunFolder.create(out, "x", {}, {})


def test_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UsageError, match=r"no config\.yaml"):
        RunFolder.resume(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unreadable_run_is_one_clear_error_and_not_left_locked(out):
    RunFolder.create(out, "x", {}, {}).close()
    (out / "data.json").write_text("{")
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be read"):
            RunFolder.resume(out)


def test_metrics_are_rows_under_one_header(out):
    with RunFolder.create(out, "x", {}, {}) as run:
        run.append_metrics({"step": 1, "loss": 0.1, "top1": None})
        run.append_metrics({"step": 2, "loss": 1 / 3})
        assert (out / "metrics.csv").read_text() == "step,loss,top1\n1,0.1,\n2,0.3333333333333333,\n"
        with pytest.raises(ValueError, match="no more than"):
            run.append_metrics({"step": 3, "los": 0.1})


def test_resume_truncates_metrics_to_the_step_so_that_no_row_is_double(out):
    with RunFolder.create(out, "x", {}, {}) as run:
        for step in (10, 20, 30):
            run.append_metrics({"step": step, "loss": step})
    with open(out / "metrics.csv", "a") as file:
        file.write("40,4")  # killed while writing
    with RunFolder.resume(out) as run:
        run.truncate_metrics(20)
        run.append_metrics({"step": 30, "loss": 31})
        assert [row["loss"] for row in read_rows(out / "metrics.csv")] == ["10", "20", "31"]


@pytest.mark.parametrize("text", ["file,class\na.png,cat\n", "step,mine\n99,1\n", ""])
def test_going_on_leaves_tables_alone_that_are_not_the_runs(out, text):
    with RunFolder.create(out, "x", {}, {}) as run:
        (out / "predictions.csv").write_text(text)
        run.truncate_metrics(0)
    assert (out / "predictions.csv").read_text() == text


@pytest.mark.parametrize("text", [None, "", "ste"])
def test_metrics_without_a_whole_header_start_anew(out, text):
    with RunFolder.create(out, "x", {}, {}) as run:
        if text is not None:
            (out / "metrics.csv").write_text(text)
        run.truncate_metrics(0)
        assert read_rows(out / "metrics.csv") == []
        run.append_metrics({"step": 1})
        assert read_rows(out / "metrics.csv") == [{"step": "1"}]


@pytest.mark.parametrize("text", [b"\xff\xfe\n1,2\n", b"step,epoch\n3,1,9\n", b"step\nx\n", b"epoch\n1\n"])
def test_a_table_that_this_run_did_not_write_is_said_to_be_so(out, text):
    with RunFolder.create(out, "x", {}, {}) as run:
        (out / "metrics.csv").write_bytes(text)
        with pytest.raises(SwinkitError, match=r"metrics\.csv is not as this run wrote it.*Mend"):
            run.truncate_metrics(5)


def test_a_configuration_without_settings_is_said_to_be_so(out):
    RunFolder.create(out, "x", {}, {}).close()
    (out / "config.yaml").write_text("")
    with pytest.raises(DataError, match=r"config\.yaml holds no names with values.*Mend"):
        RunFolder.resume(out)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_a_folder_whose_name_is_no_text_is_refused_before_the_work_and_never_chosen(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    with pytest.raises(UsageError, match=r"caf\\xe9 is not valid text.*--out"):
        check_free(tmp_path / name)
    assert first_free(tmp_path, name) == tmp_path / "caf_xe9"


def test_log_lines_carry_the_time(out):
    with RunFolder.create(out, "x", {}, {}) as run:
        run.log("зонт")
        assert (out / "log.txt").read_text("utf-8").endswith("  зонт\n")


def test_full_disk_while_logging_is_a_clean_error(out, monkeypatch):
    with RunFolder.create(out, "x", {}, {}) as run:
        monkeypatch.setattr(run_module.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(SwinkitError, match=r"log\.txt: No space left on device.*--resume"):
            run.log("hello")


def test_environment_tells_what_it_takes_to_run_it_again():
    found = environment()
    assert found["torch"]
    assert found["command"]
    assert found["processor"]
    assert json.loads(json.dumps(found)) == found


def test_other_versions_and_devices_are_named_and_the_rest_is_not():
    now = environment()
    then = {**now, "torch": "2.0", "gpus": ["other"], "command": ["other"]}
    assert divergences(now, now) == []
    assert [line.split(" was ")[0] for line in divergences(then, now)] == ["torch", "gpus"]


def test_resume_in_another_environment_is_remembered(out):
    RunFolder.create(out, "x", {}, {}).close()
    begun = json.loads((out / "env.json").read_text())
    (out / "env.json").write_text(json.dumps({**begun, "torch": "2.0"}))
    with RunFolder.resume(out) as run:
        assert run.divergences == [f"torch was 2.0, is {begun['torch']}"]
    found = json.loads((out / "env.json").read_text())
    assert found["torch"] == "2.0"
    assert found["resumed"][0]["divergences"] == run.divergences


def test_revision_is_only_of_the_repository_itself(tmp_path):
    assert revision(tmp_path) is None
    root = Path(__file__).parents[2]
    if (root / ".git").exists() and os.name != "nt":
        assert len(revision(root).removesuffix("-dirty")) == 40
