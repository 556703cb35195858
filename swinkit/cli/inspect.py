"""``swinkit inspect``: what a file of weights is, told without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import print_json, shared

UNKNOWN = "not recorded"


@click.command("inspect")
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@shared("json", "quiet")
def command(file: Path, as_json: bool, quiet: bool) -> None:
    """Say what FILE, weights of any known library, holds: version, variant, window, head, classes, precision, problems."""
    from ..weights.inspection import inspect_weights

    found = inspect_weights(file)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name != "problems":
            click.echo(f"{name.replace('_', ' '):>18}  {_shown(value)}")
    for problem in found["problems"] or ["none found"]:
        click.echo(f"{'problem':>18}  {problem}")


def _shown(value: Any) -> str:
    if value is None or value == []:
        return UNKNOWN
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
