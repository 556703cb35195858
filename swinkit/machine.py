"""What this machine is: processor, memory, installed versions. Read from files and package metadata, without importing torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# processor flag in /proc/cpuinfo -> what it speeds up
CPU_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI (int8)",
    "avx512_bf16": "AVX-512 bfloat16",
    "amx_bf16": "AMX bfloat16",
    "amx_int8": "AMX int8",
    "asimd": "NEON",
    "bf16": "ARM bfloat16",
    "i8mm": "ARM int8",
}
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # that torch and the kernels multiply with; ARM's they do not look for


def read(path: str) -> str:
    """The text of a file, or nothing where there is none to read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def version(package: str) -> str | None:
    """The installed version of ``package``; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def own_cache() -> Path:
    """Where swinkit keeps what can be made or fetched again: ``$XDG_CACHE_HOME/swinkit``, by default below ``~/.cache``. Raises RuntimeError
    where there is no home folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swinkit"


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that can still be had, here or in this container (cgroup v2); None where that is not known.

    A container is charged with the files that it read as well, which the system forgets when their room is wanted.
    """
    free = re.search(r"^MemAvailable:\s*(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    limit, held = (read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    files = re.search(r"^inactive_file (\d+)$", read("/sys/fs/cgroup/memory.stat"), re.MULTILINE)
    known = [int(free[1]) * 1024] if free else []
    if limit.isdigit() and held.isdigit():
        known.append(max(0, int(limit) - int(held) + (int(files[1]) if files else 0)))
    return min(known, default=None)


def processor() -> dict[str, Any]:
    """Name, cores and flags that matter here; None for what is not known. ``bfloat16``: it multiplies it, and torch asks it to."""
    text = read("/proc/cpuinfo")
    flags = {flag for line in re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)[:1] for flag in line.split()}
    name = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return {
        "name": name[1] if name else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "flags": [meaning for flag, meaning in CPU_FLAGS.items() if flag in flags] if flags else None,
        "bfloat16": bool(flags & BFLOAT16) if flags else None,
    }


def memory() -> dict[str, float | None]:
    """GiB, total of the machine and :func:`available_memory`; None where the system does not say."""
    total = re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    available = available_memory()
    return {"total": int(total[1]) / 2**20 if total else None, "available": None if available is None else available / 2**30}


def compiler() -> str | None:
    """The C++ compiler that ``$CXX`` names, or the first one found; None where there is none."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "c++", "clang++"]
    return next((found for name in names if (found := shutil.which(_program(name)))), None)


def _program(command: str) -> str:
    """The first word of ``command``; none where it has none, or quotes without an end."""
    try:
        return next(iter(shlex.split(command)), "")
    except ValueError:
        return ""


def device() -> dict[str, Any]:
    """Where "auto" computes here, as far as it can be told without torch, and the graphics processors."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return {"auto": "mps", "gpus": ["Apple GPU"]}
    found, torch = gpus(), version("torch")
    usable = bool(found) and torch is not None and not torch.endswith("+cpu")
    return {"auto": "cuda" if usable else "cpu", "gpus": found}


def gpus() -> list[str]:
    """Name and memory of every graphics processor that NVIDIA's driver knows."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        listing = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
