"""``swinkit compare``: Swin V1, Swin V2 and Vision Transformers side by side over resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..runtime.kinds import PRECISIONS
from .given import engine as engines
from .given import network
from .options import as_tables, check_form, check_new, measuring, next_command, print_json, same_command, say, shared, warn


def _transformers() -> Sequence[str]:
    from ..study.vit import VITS

    return list(VITS)


@click.command("compare")
@click.argument("models", nargs=-1, type=network(_transformers), metavar="[MODEL]...")
@click.option(
    "--image-size", "sizes", metavar="N", type=click.IntRange(min=16), multiple=True,
    help="Side of a square picture in pixels; repeatable; 224 to 1536 by default.",
)  # fmt: skip
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="What every model computes in.",
)
@click.option(
    "--engine",
    type=engines("auto", "plain"),
    metavar="NAME",
    default="plain",
    show_default=True,
    help="Of the Swins; see `swinkit bench`. Others run plainly.",
)
@measuring(5, 600, "model", "size")
@as_tables
@shared(
    "out", "dry_run", "json", "quiet",
    out="A new folder for compare.html and compare.json; by default nothing is written.", dry_run="Only count: nothing is measured.",
)  # fmt: skip
def command(
    models: tuple[str, ...], sizes: tuple[int, ...], precision: str, engine: str, rounds: int, max_seconds: float,
    out: Path | None, dry_run: bool, as_json: bool, markdown: bool, quiet: bool,
) -> None:  # fmt: skip
    """Compare MODELs over resolutions: MACs, latency and memory of one picture, with the places where their curves cross.

    MODEL is a run, a saved model, a variant, or deit_ti, deit_s, deit_b: Vision Transformers as torchvision builds them. By default swin_t,
    swinv2_t and deit_s. Beside them one attention layer is timed, global and in windows, against the paper's formulas. --dry-run only
    counts. --out writes a folder with compare.html and compare.json.

    \b
    swinkit compare --out compare
    swinkit compare swin_t deit_s --image-size 224 --image-size 448 --max-seconds 60
    """
    check_new(out)
    check_form(as_json, markdown)
    from ..study import bench, compare
    from .pages import comparing, studying

    chosen = list(dict.fromkeys(models or compare.MODELS))
    rows = compare.count(chosen, sorted(set(sizes or compare.SIZES)))
    layers: list[dict[str, Any]] = []
    until = compare.Until(max_seconds)
    if not dry_run:
        with studying.Narrator(quiet) as narrate:
            layers = compare.measure(rows, precision, bench.Pace(rounds=rounds, least=1), engine, until, narrate)
    said = bench.without_bfloat16([precision]) if layers and precision == "bfloat16" else []
    result = {
        "precision": precision, "remarks": said, "rows": rows, "layers": layers, **compare.summarise(rows, layers),
        "environment": bench.environment(),
    }  # fmt: skip
    if as_json:
        print_json(result)
    else:
        _print(result, markdown)
    for remark in comparing.remarks(result):
        warn(remark)
    if out is not None:
        say(f"Written: {studying.keep(result, comparing.page(result), out, 'compare')}", quiet)
    studying.check_measured(rows, until)
    if out is None:
        same_command("compare", dry_run, quiet)
        return
    swins = [model for model in chosen if model not in _transformers()] or ["swin_t"]
    next_command("swinkit", "bench", swins[0], "--out", "bench", quiet=quiet)


def _print(result: Mapping[str, Any], markdown: bool) -> None:
    from .pages.comparing import layers_table, sentences, table
    from .pages.studying import machine_table
    from .pages.tables import show

    show(table(result["rows"]), markdown)
    if result["layers"]:
        click.echo()
        show(layers_table(result["layers"]), markdown)
    click.echo()
    for sentence in sentences(result):
        click.echo(f"- {sentence}" if markdown else sentence)
    if markdown:
        click.echo()
        show(machine_table(result["environment"]), markdown)
