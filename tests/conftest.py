"""Neither a busy machine's clock nor what ran before decides anything: property tests have no deadline, and generators that tests share
start anew in each. And a hub and a browser that every test may ask for."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from .chromium import chromium
from .weights.stand_in import Hub, hub_at_work

settings.register_profile("swinkit", deadline=None)
settings.load_profile("swinkit")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers whatever ran before in this process, of libraries that are imported already: a test may look at what it imports."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in for the hub of models on this machine, with caches of its own, all of them empty."""
    from swinkit.weights.hub import hub_client

    for name in ("SWINKIT_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HTTP_PROXY", "http_proxy", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("SWINKIT_CACHE", str(tmp_path / "cache"))
    hub_client()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # settled at its import, and the witness is offline
    with hub_at_work() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
