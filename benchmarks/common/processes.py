"""Processes and the memory that each holds, from /proc: Linux alone has these figures."""

from __future__ import annotations

from pathlib import Path


def tree(root: int) -> list[int]:
    """``root`` and all processes below it."""
    found = [root]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


def resident(pid: int) -> int:
    """Resident set size in bytes, 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def runs(pid: int, module: str) -> bool:
    """Whether the command line of ``pid`` speaks of ``module``."""
    try:
        return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
