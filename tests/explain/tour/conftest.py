"""What the chapters of a tour of the bundled picture know, and its pages, computed once for the tests of texts and of the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swinkit.explain.tour.facts import gather
from swinkit.explain.tour.measured import Effort
from swinkit.explain.tour.pages import LANGUAGES, render
from swinkit.explain.tour.subject import open_subject


@pytest.fixture(scope="package")
def told() -> list[tuple[int, int, str]]:
    """What gathering the facts said on its way."""
    return []


@pytest.fixture(scope="package")
def facts(told: list[tuple[int, int, str]]) -> dict[str, Any]:
    return gather(open_subject(), Effort(1, (32,)), progress=lambda *step: told.append(step))


@pytest.fixture(scope="package")
def pages(facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tour")
    for language in LANGUAGES:
        (folder / f"{language}.html").write_text(render(facts, language), "utf-8")
    return {language: folder / f"{language}.html" for language in LANGUAGES}
