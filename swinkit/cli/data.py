"""``swinkit data``: what a set of pictures is, what is wrong with it, and which input size suits it, without training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .options import LAYOUTS, bar, next_command, print_json, shared

if TYPE_CHECKING:
    from rich.console import Console

    from ..data.check import Findings
    from ..data.collection import Collection
    from ..data.split import Split
    from ..study.sizes import Advice

LISTED = 20  # unusable files and classes shown; --json has all
COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@click.command(name="data")
@click.argument("data")
@click.option("--format", "layout", metavar="LAYOUT", help=LAYOUTS)
@shared("seed", "json", "quiet", seed="Seed of the split that is shown; 0 by default.")
def command(data: str, layout: str | None, seed: int | None, as_json: bool, quiet: bool) -> int:
    """Check every picture of DATA (a folder, a manifest or a bundled set) and advise on the input size; nothing is trained.

    Shows the classes, what cannot be read and why, duplicates, the split that training would draw, and what each input size
    would cost.

    \b
    swinkit data photos/
    swinkit data digits --json
    """
    from ..data.check import examine
    from ..data.layouts import open_data
    from ..data.split import make_split
    from ..errors import DataError

    collection = open_data(data, layout)
    with bar("checking pictures", quiet or as_json) as progress:
        findings = examine(collection, progress)
    try:
        split = make_split(collection, findings.unusable, seed or 0, alike=findings.alike)
    except DataError:
        split = None  # the findings say why
    advice = _advised(collection, findings, split)
    if as_json:
        print_json(_to_dict(collection, findings, split, advice))
    else:
        _show(collection, findings, split, advice)
    if findings.errors:
        return DataError.exit_code
    folds = _folds(collection, findings, split)
    if folds or not collection.classes or (split is not None and split.val):
        next_command("swinkit", "train" if collection.classes else "pretrain", data, *folds, quiet=quiet)
    return 0


def _folds(collection: Collection, findings: Findings, split: Split | None) -> tuple[str, ...]:
    """What trains on pictures of which the drawn ``split`` leaves none for validation, as words of the command; none where nothing does."""
    from ..data.split import workable_folds

    if split is None or split.val or not collection.classes:
        return ()
    folds = workable_folds(collection, findings.unusable, alike=findings.alike)
    return ("--folds", str(folds)) if folds else ()


def _advised(collection: Collection, findings: Findings, split: Split | None) -> Advice | None:
    """What suits the pictures, first what training would take for them here; None where no picture can be used."""
    from .. import machine
    from ..data.fitting import evenly, fitting, typical_size
    from ..study.sizes import advise

    usable = [index for index in range(len(collection)) if index not in findings.unusable]
    if not usable:
        return None
    pictures = typical_size(findings.sizes[evenly(split.train if split else usable)])
    return advise(findings.sizes, collection.channels, fitting(pictures, gpu=machine.device()["auto"] == "cuda"))


def _to_dict(collection: Collection, findings: Findings, split: Split | None, advice: Advice | None) -> dict[str, Any]:
    from ..data.collection import shown

    found = findings.to_dict()
    found["unusable"] = [
        {"file": shown(collection.samples[index].source), "reason": why} for index, why in findings.unusable.items()
    ]
    for finding, item in zip(found["findings"], findings.items, strict=True):
        if item.groups:
            finding["groups"] = [[shown(collection.samples[index].source) for index in group] for group in item.groups]
    return {
        "layout": collection.layout,
        "reason": collection.reason,
        "classes": {collection.classes[index]: count for index, count in enumerate(_counts(collection))},
        "multi_label": collection.multi_label,
        "channels": collection.channels,
        "fingerprint": collection.fingerprint(),
        **found,
        "split": split and {"made": split.made, **{part: len(getattr(split, part)) for part in ("train", "val", "test")}},
        "size_doctor": advice and advice.to_dict(),
    }  # fmt: skip


def _counts(collection: Collection) -> list[int]:
    count = Counter(label for sample in collection.samples for label in sample.labels)
    return [count[index] for index in range(len(collection.classes))]


def _show(collection: Collection, findings: Findings, split: Split | None, advice: Advice | None) -> None:
    from rich.console import Console
    from rich.markup import escape

    from ..data.collection import counted

    console = Console(highlight=False, soft_wrap=True)
    classes = counted(len(collection.classes), "class") if collection.classes else "no classes"
    label = "several labels each" if collection.multi_label else classes
    channels = "" if collection.channels == 3 else f", {collection.channels} channel{'s' if collection.channels > 1 else ''}"
    console.print(
        f"[bold]{counted(len(collection), 'picture')}[/], {label}{channels}. Recognised: {escape(collection.reason)}."
    )
    if collection.classes:
        _show_classes(console, _counts(collection), collection)
    if split is not None:
        console.print(f"Split: {len(split.train)} train, {len(split.val)} val, {len(split.test)} test ({split.made}).")
        if collection.classes and not (split.val or findings.errors):
            folds = _folds(collection, findings, split)
            console.print(
                "[yellow]warning[/]: no validation pictures: training needs more pictures or groups of each class"
                f"{', ' + ' '.join(folds) if folds else ''}, or --set val=0.5"
            )
    for item in findings.items:
        console.print(f"[{COLOURS[item.severity]}]{item.severity}[/]: {escape(item.message)}")
        if item.severity == "warning":
            _show_groups(console, collection, item.groups)
    if not findings.items:
        console.print("[green]Nothing is wrong with them.[/]")
    _show_unusable(console, collection, findings)
    if advice is not None:
        _show_advice(console, advice)


def _show_classes(console: Console, counts: list[int], collection: Collection) -> None:
    from rich.markup import escape
    from rich.table import Table

    from ..data.collection import shown

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, count in list(zip(collection.classes, counts, strict=True))[:LISTED]:
        table.add_row(
            escape(shown(name)), str(count), "█" * round(24 * count / max(1, *counts)), style="dim" if not count else None
        )
    console.print(table)
    if len(counts) > LISTED:
        console.print(f"… and {len(counts) - LISTED} more classes; --json has all")


def _show_groups(console: Console, collection: Collection, groups: Sequence[Sequence[int]]) -> None:
    """A line for each group of pictures that belong together: what to look at."""
    from rich.markup import escape

    from ..data.collection import shown

    if len(groups) < 2:  # the message names it
        return
    for group in groups[:LISTED]:
        console.print(f"  {escape(' = '.join(shown(collection.samples[index].source) for index in group))}")
    if len(groups) > LISTED:
        console.print(f"  … and {len(groups) - LISTED} more; --json has all")


def _show_unusable(console: Console, collection: Collection, findings: Findings) -> None:
    from rich.markup import escape

    from ..data.collection import shown

    for index, reason in list(findings.unusable.items())[:LISTED]:
        console.print(f"  {escape(shown(collection.samples[index].source))}: {escape(reason)}")
    if len(findings.unusable) > LISTED:
        console.print(f"  … and {len(findings.unusable) - LISTED} more; --json has all")


def _macs(count: int) -> str:
    """As 4.49 G; what would be none of two decimals, in millions."""
    return f"{count / 1e9:.2f} G" if count >= 1e7 else f"{count / 1e6:.1f} M"


def _show_advice(console: Console, advice: Advice) -> None:
    from rich.table import Table

    pictures = advice.pictures
    spans = " to ".join(dict.fromkeys(f"{height}x{width}" for height, width in (pictures.smallest, pictures.largest)))
    median = f", median {pictures.median[0]}x{pictures.median[1]}" if " to " in spans else ""
    console.print(f"\nSizes (height x width): {spans}{median}. Ways to see them, the advised one first:")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("size", "model", "patch", "window", "MACs a picture", "padding", "scale", "cut off"):
        table.add_column(name)
    for choice in advice.choices:
        table.add_row(
            f"{choice.size[0]}x{choice.size[1]}", choice.variant, str(choice.patch), str(choice.window), _macs(choice.macs),
            f"{choice.padding:.0%}", f"{choice.scale:.2f}", f"{choice.cut:.0%}",
        )  # fmt: skip
    console.print(table)
    for choice in advice.choices:
        console.print(f"  {choice.size[0]}x{choice.size[1]}: {choice.why}")
    console.print("Another than the first: --model MODEL --image-size SIZE --set swin.window_size=WINDOW")
