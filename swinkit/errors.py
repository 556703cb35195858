"""What can go wrong, as one family: ``except SwinkitError`` catches every fault that is the user's to mend.

    SwinkitError            1   something failed
    ├── UsageError          2   a wrong argument, option or configuration
    ├── DataError           3   the pictures or labels cannot be used as they are
    ├── GateError           4   a quality gate was not met
    ├── WeightsError        1   a weight file is damaged, unsafe, or not what it was taken for
    ├── MissingExtra        1   an optional dependency is needed and absent
    └── Interrupted       130   stopped by a signal; the state is saved

The number is the exit code of the command line. Each message states what was expected, what came, where, and how to mend it.
"""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], otherwise: str, most: int = 1, likeness: float = 0.6) -> str:
    """How the message about an unknown ``name`` ends: with up to ``most`` known ones that it may have meant, or ``otherwise``.

    ``likeness``, 0 to 1, is how much of a name must agree.
    """
    near = difflib.get_close_matches(name, list(known), n=most, cutoff=likeness)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else otherwise


class SwinkitError(Exception):
    exit_code = 1


class UsageError(SwinkitError):
    exit_code = 2


class DataError(SwinkitError):
    exit_code = 3


class GateError(SwinkitError):
    exit_code = 4


class WeightsError(SwinkitError):
    pass


class MissingExtra(SwinkitError):
    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs the package {package!r}, which is not installed. Mend: pip install 'swinkit[{extra}]'")


class Interrupted(SwinkitError):
    exit_code = 130
