"""How much memory this process holds, the most it has held, and whether a fault is a lack of it: from /proc, since the peak that getrusage tells is inherited from a parent process."""

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


def ran_out_of_memory(fault: BaseException) -> bool:
    """Whether Python or an allocator of torch refused: CUDA's and MPS's own error, or the CPU's plain RuntimeError."""
    return isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(fault)


def _status(field: str) -> int | None:
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
