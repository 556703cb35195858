"""Another Python, for what must not share a process with this one."""

from __future__ import annotations

import sys


def python(program: str, *arguments: str) -> list[str]:
    """The command that runs ``program``, source text, with ``arguments`` where imports find what they find here.

    The path goes with the program, not in the environment: a folder's name may hold what separates folders there.
    """
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{program}", *arguments]
