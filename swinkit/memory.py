"""How much memory this process holds, and the most it has held: from /proc, since the peak that getrusage tells is inherited from a parent process."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int | None:
    """Bytes of memory that this process holds now; None where the system does not say."""
    return _status("VmRSS")


def peak() -> int | None:
    """The most bytes that this process held since :func:`reset_peak`, or since it began where that is impossible."""
    found = _status("VmHWM")
    if found is not None or sys.platform == "win32":
        return found
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Let :func:`peak` begin anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        FORGET.write_text("5")


def _status(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
