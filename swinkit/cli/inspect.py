"""``swinkit inspect``: what a file of weights is, told without running anything in it."""

from __future__ import annotations

from typing import Any

import click

from .given import MODEL
from .options import next_command, print_json, shared

UNKNOWN = "not recorded"
MOST_REASONS = 8  # that one problem lists on the screen; --json has them all


@click.command("inspect")
@click.argument("model", metavar="FILE", type=MODEL)
@shared("json", "quiet")
def command(model: str, as_json: bool, quiet: bool) -> None:
    """Say what FILE, weights of any known library, holds: version, variant, window, head, classes, precision, problems.

    FILE is a file, a folder, a run, or a name: a bundled model's, hf-hub:org/name, Swin_T_Weights.DEFAULT, an address.

    \b
    swinkit inspect swin_tiny_patch4_window7_224.pth
    swinkit inspect runs/classify/shoes --json
    """
    from ..data.collection import shown
    from ..weights.hub import locate
    from ..weights.inspection import inspect_weights

    located = locate(model)
    found = inspect_weights(located.path, located.variant)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name != "problems" and (name != "trained_windows" or found["version"] == 2):  # version 1 has none to record
            nowhere = name == "converts_to" and not value and not found["problems"]
            told = "nothing as it is, see convert --backbone" if nowhere else shown(_told(value))
            click.echo(f"{name.replace('_', ' '):>18}  {told}")
    for problem in found["problems"] or ["none found"]:
        click.echo(f"{'problem':>18}  " + ("\n" + 20 * " ").join(map(shown, shortened(problem))))
    if not quiet and not found["problems"]:
        _propose(model, found["converts_to"])


def shortened(problem: str) -> list[str]:
    """The lines of ``problem``: what it is, the first of its reasons, how many more there are, and the mend."""
    head, *lines = problem.split("\n")
    reasons = [line for line in lines if line.startswith("  ")]
    mend = [line for line in lines if not line.startswith("  ")]
    more = [f"  and {len(reasons) - MOST_REASONS} more"] if len(reasons) > MOST_REASONS else []
    return [head, *reasons[:MOST_REASONS], *more, *mend]


def _propose(model: str, formats: list[str]) -> None:
    """A conversion that goes through, to another library where one can express the network."""
    from ..weights.targets import TARGETS

    if not formats:
        return
    name = next((one for one in formats if one != "swinkit"), "swinkit")
    next_command("swinkit", "convert", model, "OUT" if TARGETS[name].folder else "OUT.pth", "--to", name)


def _told(value: Any) -> str:
    if value is None or value == []:
        return UNKNOWN
    if isinstance(value, list) and len(value) > 12 and isinstance(value[0], str):
        return f"{', '.join(value[:10])}, … ({len(value)})"
    if isinstance(value, list):
        return ", ".join("x".join(map(str, one)) if isinstance(one, list | tuple) else str(one) for one in value)
    return str(value)
