import json
import re

import numpy as np
import pytest
import torch

from swinkit.cli.main import run

from ..train.pictures import TINY, write_pictures

OPTIONS = [f"--set={key}={value}" for key, value in {**TINY, "epochs": 1}.items()]


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "stripes", test=12)


def test_a_dry_run_prints_the_plan_and_writes_nothing(data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", str(data), "--dry-run", "--json", *OPTIONS]) == 0
    printed = capsys.readouterr()
    assert "IDX files" in printed.err
    plan = json.loads(printed.out)
    assert (plan["model"], plan["steps"], plan["batch_size"]) == ("swin_nano", 5, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["stripes"]


@pytest.mark.parametrize("verb", ["train", "pretrain"])
def test_on_a_terminal_where_both_streams_meet_a_dry_run_shows_the_plan_once(verb, data, capsys):
    assert run([verb, str(data), "--dry-run", *OPTIONS]) == 0
    printed = capsys.readouterr()
    assert (printed.out.count("Plan: "), printed.err.count("Plan: ")) == (1, 0)


def test_a_run_prints_its_folder_says_what_comes_next_and_has_a_report(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert run(["train", str(data), "--out", str(out), *OPTIONS]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(out)
    assert "Plan: swin_nano" in printed.err
    assert printed.err.count("says little") + printed.err.count("say little") == 1  # of 52 pictures, by the check alone
    assert f"Next: swinkit evaluate {out}" in printed.err
    assert (out / "report.html").stat().st_size > 5000


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "What shall be trained on?"),
        (["{data}", "--set", "leraning=1"], 2, "No such setting 'leraning'"),
        (["{data}", "--model", "swin_nana"], 2, "Did you mean 'swin_nano"),
        (["{data}", "--set", "devices=2"], 2, "one device"),
        (["{data}", "--device", "cuda:0" if not torch.cuda.is_available() else "mps"], 2, "no device"),
        (["{data}/nowhere"], 3, "does not exist"),
        (["--resume", "{data}"], 2, "not a run that can be resumed"),
        (["--resume", "{data}", "--out", "x"], 2, "leave --out out"),
        (["--resume", "{data}", "--set", "leraning=1"], 2, "No such setting 'leraning'"),
        (["{data}", "--out", "{data}"], 2, "nothing is ever overwritten"),
        (["{data}", "--set", "precision=16-mixed"], 2, "precision"),
        (["--resume", "{data}", "--dry-run"], 2, "does not go with --resume"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(words, code, said, data, capsys):
    assert run(["train", *(word.format(data=data) for word in words)]) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_arrays_of_many_channels_go_from_training_to_an_answer(tmp_path, capsys):
    for label, name in enumerate(("dry", "wet")):
        (tmp_path / "fields" / name).mkdir(parents=True)
        for number in range(8):
            values = np.random.default_rng([label, number]).random((8, 8, 5), np.float32)
            np.save(tmp_path / "fields" / name / f"{number}.npy", values)
    out = tmp_path / "run"
    assert run(["train", str(tmp_path / "fields"), "--out", str(out), "--set", "workers=0", *OPTIONS]) == 0
    capsys.readouterr()
    assert run(["predict", str(out), str(tmp_path / "fields/wet"), "--workers", "0", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["status"] for row in rows] == ["ok"] * 8


def test_an_ordinary_runs_settings_serve_for_all_folds(data, tmp_path, capsys):
    assert run(["train", str(data), "--out", str(tmp_path / "one"), "-q", *OPTIONS]) == 0
    capsys.readouterr()
    config = ["--config", str(tmp_path / "one" / "config.yaml")]
    assert run(["train", *config, "--folds", "2", "--out", str(tmp_path / "folds"), "-q"]) == 0
    assert re.search(r"(standard error 0\.\d*[1-9]\d* over|the same in all) 2 folds", capsys.readouterr().out)
    assert len(list((tmp_path / "folds").glob("fold-*/model"))) == 2
    # the file of one fold is no reason to train that fold alone
    config = ["--config", str(tmp_path / "folds" / "fold-2" / "config.yaml")]
    for folds, part, told in ((["--folds", "2"], 1, 1), ([], 2, 0), (["--folds", "2", "--set", "fold=1"], 2, 0)):
        assert run(["train", *config, *folds, "--dry-run"]) == 0
        printed = capsys.readouterr()
        assert f"Plan: fold {part} of 2, swin_nano" in printed.out
        assert printed.err.count("Cross-validation: 2 runs") == told
