"""A witness that need not import another library anew for each conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swinkit.weights import certificate, witness


@pytest.fixture
def witness_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The witness in this process, which has the libraries imported already; a test of the command line starts the real one."""

    def ask(job: Any, scratch: Path) -> dict[str, str]:
        try:
            return witness.run(dict(job))
        except Exception as fault:
            return {"failed": f"{type(fault).__name__}: {fault}"}

    monkeypatch.setattr(certificate, "_ask", ask)
