import subprocess
import sys

import pytest

from swinkit.errors import MissingExtra
from swinkit.extras import is_installed, required
from swinkit.runtime import engines, kinds
from swinkit.runtime.export.sessions import runtimes_for


@pytest.fixture
def beside_a_folder(tmp_path, monkeypatch):
    """A working directory, looked into first as under ``python -m``, with folders named like packages."""
    for name in ("juggling", "json"):
        (tmp_path / name / "results").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_folder_is_no_package(beside_a_folder):
    import juggling  # Python takes it for one

    assert juggling.__file__ is None
    assert not is_installed("juggling")
    with pytest.raises(MissingExtra, match=r"'juggling', which is not installed.*swinkit\[circus\]"):
        required("juggling.clubs", "circus")


def test_a_package_is_one_beside_a_folder_of_its_name(beside_a_folder):
    assert is_installed("json")
    assert required("json.decoder", "none").JSONDecoder
    assert is_installed("sys")  # built in


def test_what_is_not_there_is_missing_and_what_a_package_misses_is_its_own_fault(beside_a_folder):
    assert not is_installed("trapeze")
    with pytest.raises(MissingExtra, match="'trapeze'"):
        required("trapeze", "circus")
    (beside_a_folder / "broken.py").write_text("import trapeze", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="trapeze"):
        required("broken", "circus")


def test_engines_and_runtimes_are_not_taken_in_by_folders(beside_a_folder, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "openvino", kinds.Kind("a folder", any_size=False, package="juggling"))
    assert not engines.ENGINES["openvino"].installed
    monkeypatch.setattr("swinkit.runtime.export.sessions.is_installed", lambda name: False)
    with pytest.raises(MissingExtra, match="openvino"):
        runtimes_for("openvino")


def test_the_command_says_so_under_python_m(tmp_path):
    """``openvino`` hidden, a folder of its name in the working directory: one line, and no AttributeError."""
    (tmp_path / "openvino").mkdir()
    code = """
import sys
from importlib.machinery import PathFinder

class Folders(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "openvino":
            return super().find_spec(name, [""], target)

sys.meta_path.insert(0, Folders)
from swinkit.runtime.silenced import openvino
openvino()
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "MissingExtra: This needs the package 'openvino', which is not installed" in said.stderr
