"""What a compiled kernel depends on, why there may be none, and which are there already: told without compiling one, and without torch."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from ..machine import compiler
from .cache import state

FLAGS = ("-std=gnu++17", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
# lines of /proc/cpuinfo; the last two are ARM's name
TELLING = ("flags", "Features", "model name", "CPU implementer", "CPU part")


def source(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.cpp")


def switched_off() -> str | None:
    """That the environment refuses kernels and all that goes with them, by ``SWINKIT_KERNELS=0``; None where it does not."""
    return "switched off by SWINKIT_KERNELS=0" if os.environ.get("SWINKIT_KERNELS") == "0" else None


def why_not_built(command: str | None) -> str | None:
    """Why no kernel is built here, nor loaded, by the compiler ``command``; None where one may be. :func:`switched_off` refuses all."""
    if why := switched_off():
        return why
    if sys.platform == "win32":
        return "not built on Windows"
    if command is None:
        given = os.environ.get("CXX")
        return f"CXX={given!r} names no C++ compiler" if given else "no C++ compiler found (g++, c++ or clang++)"
    return None


def states() -> dict[str, str]:
    """For each kernel by name :data:`~swinkit.kernels.cache.BUILT`, :data:`~swinkit.kernels.cache.UNBUILT`, or why building it was in vain.

    Where :func:`why_not_built` has a reason there are none.
    """
    command = compiler()
    if command is None or why_not_built(command):
        return {}
    return {path.stem: state(cache_stem(path, command)) for path in sorted(Path(__file__).parent.glob("*.cpp"))}


def compiler_error(command: str) -> str | None:
    """What the compiler says first of a program that does nothing, compiled as kernels are; None where it takes it. It takes some milliseconds."""
    words = [*compiler_command(command), "-fsyntax-only", "-x", "c++", "-"]
    try:
        done = subprocess.run(words, input="#include <omp.h>\n", capture_output=True, text=True, timeout=10, env=environment())
    except (OSError, subprocess.SubprocessError) as fault:
        return str(fault)
    return first_error(done.stderr) if done.returncode else None


def first_error(said: str) -> str:
    """The line of what a compiler said that names its first error; lines before it say only from where the sources came there."""
    lines = said.strip().splitlines() or ["no message"]
    return next((line for line in lines if "error:" in line), lines[0])


def compiler_command(command: str) -> list[str]:
    """The words that begin the call of a compiler: ``$CXX`` with its own options, or ``command``."""
    given = os.environ.get("CXX")
    return [*(shlex.split(given) if given else [command]), *FLAGS]


def environment() -> dict[str, str]:
    """That of a compiler: it speaks English, so that its errors are known as such."""
    return {**os.environ, "LC_ALL": "C"}


def cache_stem(source: Path, command: str) -> str:
    """How the file of a compiled kernel begins: with what it depends on, its sources, how it is compiled, by what, and for which processor."""
    sources = [file.read_bytes() for file in (source, *sorted(source.parent.glob("*.hpp")))]
    rest = [
        repr(FLAGS),
        command,
        os.environ.get("CXX", ""),
        str(Path(command).resolve().stat().st_mtime_ns),
        processor_identity(),
    ]
    digest = hashlib.sha256(b"\0".join([*sources, *(part.encode() for part in rest)])).hexdigest()
    return f"{source.stem}-{digest[:16]}"


@functools.cache
def sources_digest() -> str:
    """A digest of all kernels' sources: what was measured with others may be otherwise."""
    sources = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in {".cpp", ".hpp"})
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def processor_identity() -> str:
    """Architecture, model and instruction sets: a home folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    known = {line for line in lines if line.startswith(TELLING)}
    return "\n".join([platform.machine(), platform.processor(), *sorted(known)])
