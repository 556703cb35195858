from __future__ import annotations

import json

from click.testing import CliRunner

from swinkit.cli.data import command
from swinkit.cli.main import run

from ..data.pictures import class_folders


def test_report_of_a_folder(tmp_path):
    class_folders(tmp_path, ("[red]cat", "dog\n"))
    (tmp_path / "[red]cat/bad.png").write_bytes(b"")
    answer = CliRunner().invoke(command, [str(tmp_path), "-q"])
    assert answer.exit_code == 0
    for words in (
        "13 pictures",
        "2 classes",
        "class folders directly inside",
        "[red]cat",
        "dog\\n",
        "[red]cat/bad.png: zero bytes",
        "Split:",
        "advised",
    ):
        assert words in answer.stdout
    assert not answer.stderr


def test_json(tmp_path, capsys):
    class_folders(tmp_path)
    (tmp_path / "cat/bad.png").write_bytes(b"")
    assert run(["data", str(tmp_path), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"cat": 7, "dog": 6}
    assert found["unusable"] == [{"file": "cat/bad.png", "reason": "zero bytes"}]
    assert found["split"]["train"] + found["split"]["val"] == 12
    assert found["size_doctor"]["choices"][0]["variant"] == "swin_nano"


def test_bad_data_leaves_with_3(tmp_path, capsys):
    assert run(["data", str(class_folders(tmp_path, ("cat",))), "-q"]) == 3
    assert "one class only" in capsys.readouterr().out
    assert run(["data", str(tmp_path / "nowhere")]) == 3
    assert "does not exist" in capsys.readouterr().err
