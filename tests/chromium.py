"""The browser in which pages are opened, where there is one."""

from __future__ import annotations

import shutil
import warnings

import pytest


def chromium() -> str:
    """Where Chromium is; a test that asks where there is none is skipped, which is warned of."""
    path = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if path is None:
        warnings.warn("NOT TESTED in a browser: no Chromium is installed", stacklevel=1)
        pytest.skip("no Chromium is installed, so no browser has opened the page")
    return path
