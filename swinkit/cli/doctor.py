"""``swinkit doctor``: what this machine offers and what is missing, told from files and package metadata, without importing torch."""

from __future__ import annotations

import platform
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from .. import __version__, machine
from ..kernels.cache import BUILT, UNBUILT, untrusted
from ..kernels.identity import compiler_error, states, why_not_built
from ..machine import version
from ..runtime import choices
from ..weights.caches import hub_settings
from .options import next_command, print_json, shared

CORE = (
    "torch", "torchvision", "lightning-fabric", "pydantic", "pyyaml", "click", "rich", "numpy", "pillow",
    "safetensors", "jinja2", "tensorboard", "pyarrow",
)  # fmt: skip


class Extra(NamedTuple):
    purpose: str
    packages: tuple[str, ...]
    size: str  # what pip downloads beyond the core (Linux x86-64, Python 3.11, November 2026)
    used: bool = True  # by a verb that is there already


# pyproject.toml has the ranges of the packages
EXTRAS = {
    "export": Extra("ONNX, OpenVINO and int8", ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf"), "145 MB"),
    "serve": Extra("reserved for a REST service", ("fastapi", "uvicorn", "python-multipart"), "0.5 MB", used=False),
    "ray": Extra("reserved for a cluster", ("ray",), "95 MB", used=False),
    "dense": Extra("reserved for detection", ("faster-coco-eval",), "0.6 MB", used=False),
    "hub": Extra("models on the Hugging Face hub", ("huggingface-hub",), "6 MB"),
    "explain": Extra("gradient explanations", ("captum",), "15 MB"),
}

GIB = 2**30


def examine() -> dict[str, Any]:
    """Everything the command prints, as one JSON-ready dictionary; sizes in GiB, unknown figures None."""
    versions = {name: version(name) for name in CORE}
    return {
        "swinkit": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": machine.device(),
        "processor": machine.processor(),
        "memory_gib": machine.memory(),
        "compiler": machine.compiler(),
        "kernels": _kernels(),
        "untrusted_kernels": [str(path) for path in untrusted()],
        "engines": _engines(),
        "disk": _disk(),
        "versions": versions,
        "extras": {name: [package for package in extra.packages if not version(package)] for name, extra in EXTRAS.items()},
    }


def _kernels() -> dict[str, Any]:
    """Why there are none, or those that are built, unbuilt, and failed with the reason; and what the compiler says of kernels, where one is unbuilt."""
    command, known = machine.compiler(), states()
    unbuilt = [name for name, state in known.items() if state == UNBUILT]
    return {
        "refused": why_not_built(command),
        "built": [name for name, state in known.items() if state == BUILT],
        "unbuilt": unbuilt,
        "failed": {name: state for name, state in known.items() if state not in (BUILT, UNBUILT)},
        "complaint": compiler_error(command) if unbuilt and command else None,
    }


def _engines() -> dict[str, Any]:
    """The file of what `--engine auto` remembers, and how often it was which engine."""
    try:
        path = str(choices.place())
    except RuntimeError:  # where there is no home folder
        path = None
    return {"file": path, "remembered": dict(Counter(map(str, choices.remembered().values())))}


def _disk() -> dict[str, dict[str, Any]]:
    places = {"here": Path.cwd(), "cache": Path(hub_settings()["cache_dir"])}
    if Path("/dev/shm").is_dir():
        places["shared memory"] = Path("/dev/shm")
    return {name: {"path": str(path), "exists": path.is_dir(), "free_gib": _free(path)} for name, path in places.items()}


def _free(path: Path) -> float:
    existing = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(existing).free / GIB


def remedies(report: dict[str, Any]) -> list[str]:
    """What to type for what is missing or odd, the gravest first."""
    missing = [name for name, version in report["versions"].items() if version is None]
    answer = [f"pip install {' '.join(missing)}  # required, not installed"] if missing else []
    if report["device"]["gpus"] and report["device"]["auto"] == "cpu":
        answer.append("pip install --force-reinstall torch torchvision  # this torch is built without the GPU that is here")
    shared_memory = report["disk"].get("shared memory")
    if shared_memory and shared_memory["free_gib"] < 0.25:
        answer.append("docker run --shm-size=2g ...  # loader workers pass pictures through /dev/shm, which is nearly full")
    if refused := report["untrusted_kernels"]:
        paths = shlex.join(refused)
        answer.append(
            f"chmod go-w {paths}  # others may write it, so kernels in it are not loaded; remove it if it is not yours"
        )
    answer += [
        f"pip install 'swinkit[{extra}]'  # {EXTRAS[extra].purpose}, {EXTRAS[extra].size}"
        for extra, absent in report["extras"].items()
        if absent and EXTRAS[extra].used
    ]
    return answer


def _lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    processor, memory = report["processor"], report["memory_gib"]
    bfloat16 = {True: "in hardware", False: "not in hardware, float32 is used", None: "not known here"}[processor["bfloat16"]]
    flags = "not known here" if processor["flags"] is None else ", ".join(processor["flags"]) or "none that matter"
    rows = [
        ("swinkit", f"{report['swinkit']}, Python {report['python']}, {report['system']}"),
        ("device", f"{report['device']['auto']}" + "".join(f"; {gpu}" for gpu in report["device"]["gpus"])),
        ("processor", f"{processor['name']}, {processor['usable_cores']} of {processor['cores']} cores usable"),
        ("threads", f"OMP_NUM_THREADS={processor['threads']}" if processor["threads"] else "torch chooses, one per core"),
        ("flags", f"{flags}; bfloat16 {bfloat16}"),
    ]
    kernels = _told(report["kernels"], report["compiler"])
    if report["untrusted_kernels"]:
        kernels += f"; not loaded from {report['untrusted_kernels'][0]}, which others may write"
    rows += [("kernels", kernels), ("engines", _chosen(report["engines"]))]
    if None not in memory.values():
        rows.append(("memory", f"{memory['available']:.1f} of {memory['total']:.1f} GiB available"))
    for name, place in report["disk"].items():
        rows.append((name, f"{place['path']}{'' if place['exists'] else ' (not made yet)'}, {place['free_gib']:.1f} GiB free"))
    rows += [(name, version or "MISSING") for name, version in report["versions"].items()]
    rows += [(f"[{extra}]", _standing(EXTRAS[extra], absent)) for extra, absent in report["extras"].items()]
    return rows


def _standing(extra: Extra, absent: Sequence[str]) -> str:
    if not absent:
        return "installed"
    return f"missing {', '.join(absent)}" if extra.used else f"{extra.purpose}, not needed yet"


def _told(kernels: dict[str, Any], compiler: str | None) -> str:
    """Whether the native kernels are used here, or why not."""
    if why := kernels["refused"]:
        return f"none, {why}"
    counts = len(kernels["built"]), len(kernels["built"]) + len(kernels["unbuilt"]) + len(kernels["failed"])
    said = [f"{counts[0]} of {counts[1]} built by {compiler}"]
    said += [f"{name} failed, so torch computes it: {why}" for name, why in kernels["failed"].items()]
    if kernels["complaint"]:
        said.append(f"torch computes the others, since the compiler fails: {kernels['complaint']}")
    elif kernels["unbuilt"]:
        said.append("the others are compiled when they are first used")
    return "; ".join(said)


def _chosen(engines: dict[str, Any]) -> str:
    """What `--engine auto` remembers, where, and how it is forgotten."""
    if not engines["remembered"]:
        return "none remembered by --engine auto yet"
    found = ", ".join(f"{name} {count}" for name, count in engines["remembered"].items())
    return f"remembered by --engine auto: {found}; to measure anew, remove {engines['file']}"


@click.command()
@shared("json", "quiet")
def doctor(as_json: bool, quiet: bool) -> int:
    """Say what this machine offers swinkit and what is missing: device, processor, memory, disk, versions, extras."""
    report = examine()
    todo = remedies(report)
    if as_json:
        print_json({**report, "remedies": todo})
    else:
        for name, text in _lines(report):
            click.echo(f"{name:<17} {text}")
        for line in ["", "To add what is missing:", *todo] if todo else []:
            click.echo(line)
    next_command("swinkit", "demo", quiet=quiet)
    return 1 if None in report["versions"].values() else 0
