"""``swinkit evaluate``: what a model is worth, on the pictures it was kept from or on others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .given import MODEL, check_data, source_of
from .options import LAYOUTS, SIZE, check_new, next_command, no_option, print_json, say, shared

if TYPE_CHECKING:
    from ..tasks.evaluation import Evaluation

SPLITS = ("auto", "train", "val", "test", "all")
WEAKEST = 20  # classes on the screen; --json has all


@click.command(name="evaluate")
@click.argument("model", type=MODEL)
@click.argument("data", required=False)
@click.option(
    "--split", type=click.Choice(SPLITS), default="auto", show_default=True, help="Which part; auto: test, else val, else all."
)
@click.option("--format", "layout", metavar="LAYOUT", help=LAYOUTS)
@click.option("--image-size", type=SIZE, help="Scale pictures to this size in pixels instead of the model's.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    default=64,
    show_default=True,
    help="Pictures that go through the model at once.",
)
@click.option(
    "--require",
    "gates",
    multiple=True,
    metavar="FIGURE=VALUE",
    help="End with code 4 unless FIGURE is at least VALUE: top1, top5, macro_f1, balanced_accuracy, temperature; of several labels map, "
    "macro_f1, micro_f1, exact; or at most, for loss, ece, ece_scaled. Repeatable.",
)
@click.option(
    "--expect",
    type=click.Choice(["published", "published-1k", "published-22k"]),
    help="DATA is ImageNet's validation set: end with code 4 unless top-1 is the published one.",
)
@shared("out", "device", "json", "quiet", out="A new folder for report.html and its figures; by default nothing is written.")
def command(
    model: str, data: str | None, split: str, layout: str | None, image_size: tuple[int, int] | None, batch_size: int,
    gates: tuple[str, ...], expect: str | None, out: Path | None, device: str, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Judge MODEL, a run, a saved model of any library, a name or an exported bundle, on DATA; without DATA, a run on what it kept aside.

    Accuracy with its interval, precision, recall and F1 of every class, calibration. --out writes a folder with report.html,
    evaluation.json and predictions.csv.

    \b
    swinkit evaluate runs/classify/shoes
    swinkit evaluate runs/classify/shoes new-photos/ --out evaluation
    swinkit evaluate runs/classify/shoes --require top1=0.9 --require ece=0.05
    swinkit evaluate swin_tiny_patch4_window7_224.pth imagenet/ --expect published-1k
    """
    limits = dict(map(parse_gate, gates))
    check_new(out)
    if expect and data is None:
        raise UsageError("--expect compares on ImageNet's validation set; give its folder as DATA")
    check_data(*source_of(model, data, layout))
    from .judging import judge

    judged = judge(
        model, data, split=split, layout=layout, device=device, batch_size=batch_size, quiet=quiet, expect=expect, gates=limits,
        image_size=image_size,
    )  # fmt: skip
    evaluation = judged.evaluation
    if out is not None:
        judged.write(out)
    if as_json:
        print_json(judged.to_dict())
    else:
        print_table(evaluation)
    evaluation.require(limits)
    if judged.expected is not None:
        top1 = evaluation.figures["top1"]
        say(judged.expected.require(top1.value, top1.low or 0.0, top1.high or 1.0, len(evaluation)), quiet)
    if out is not None:
        say(f"Written: {out / 'report.html'}", quiet)
        next_command("swinkit", "predict", model, "PICTURE", quiet=quiet)
    else:
        again = [*([no_option(data)] if data else []), *(["--split", split] if split != "auto" else []), *judged.options]
        next_command("swinkit", "evaluate", model, *again, "--out", "evaluation", quiet=quiet)


def parse_gate(text: str) -> tuple[str, float]:
    """``name=value`` of --require; raises :class:`UsageError`."""
    name, equals, value = text.partition("=")
    try:
        if equals and name:
            return name.strip(), float(value)
    except ValueError:
        pass
    raise UsageError(f"--require expects FIGURE=VALUE, got {text!r}. For instance: --require top1=0.9")


def print_table(evaluation: Evaluation) -> None:
    """Figures, and the :data:`WEAKEST` classes that do worst, on stdout."""
    from ..data.collection import shown
    from ..tasks.evaluation import SingleLabel

    unknown = evaluation.uncalibrated if isinstance(evaluation, SingleLabel) else {}
    for name, figure in evaluation.figures.items():
        interval = f"   {figure.low:.4f} to {figure.high:.4f} (95 %)" if figure.low is not None else ""
        value = "-" if math.isnan(figure.value) else f"{figure.value:.4f}"
        reason = unknown.get(name) or figure.note
        click.echo(f"{name:18}{value:>8}{interval}" + (f"   {reason}" if reason else ""))
    rows = evaluation.to_dict()["classes"]
    rows.sort(key=lambda row: 2.0 if row["f1"] is None else row["f1"])
    width = min(40, max([5, *(len(shown(row["class"])) for row in rows[:WEAKEST])]))
    click.echo(f"\n{'class':{width}}  pictures  precision  recall      F1")
    for row in rows[:WEAKEST]:
        values = "  ".join(f"{_cell(row[key]):>{size}}" for key, size in (("precision", 9), ("recall", 6), ("f1", 6)))
        click.echo(f"{shown(row['class'])[:width]:{width}}  {row['support']:8,}  {values}")
    if len(rows) > WEAKEST:
        click.echo(f"and {len(rows) - WEAKEST} classes that do better; --json has all")


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
