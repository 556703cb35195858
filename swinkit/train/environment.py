"""What a run ran on: versions, machine, command; and which of it bears on whether a resumed run gives the same bits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from ..kernels.attention import KERNEL
from ..machine import processor, version

PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "safetensors", "pydantic")
BITWISE = ("swinkit", "python", "torch", "torchvision", "numpy", "pillow", "system", "processor", "kernel", "gpus")


def environment() -> dict[str, Any]:
    """Versions, machine, command line and, if swinkit runs from its repository, the revision."""
    from .. import __version__

    return {
        "swinkit": __version__,
        "revision": revision(Path(__file__).parents[2]),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "system": platform.platform(),
        "processor": processor()["name"],
        "kernel": "native" if KERNEL.available else "none",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "command": sys.argv,
        "folder": os.getcwd(),
    }


def divergences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Why a run begun in ``then`` may end with other bits in ``now``; empty when nothing speaks against equal ones."""
    return [f"{key} was {then.get(key)}, is {now.get(key)}" for key in BITWISE if then.get(key) != now.get(key)]


def revision(folder: Path) -> str | None:
    """git revision of the repository in ``folder``, "-dirty" when it has changes; None without git or repository."""
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
