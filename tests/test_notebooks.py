"""The notebooks run from their first cell to their last, and both languages run the same code."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LANGUAGES = ("en", "ru")


def read(language: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"swin_overview.{language}.ipynb", as_version=4)


def test_both_languages_have_the_same_cells() -> None:
    english, russian = (read(language).cells for language in LANGUAGES)
    assert [cell.cell_type for cell in english] == [cell.cell_type for cell in russian]
    for one, other in zip(english, russian, strict=True):
        assert (one.source == other.source) == (one.cell_type == "code")
        assert other.cell_type == "code" or re.search("[а-яё]", other.source)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_is_kept_without_outputs(language: str) -> None:
    assert all(not cell.outputs and cell.execution_count is None for cell in read(language).cells if cell.cell_type == "code")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_notebook_runs(language: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = read(language)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 4
