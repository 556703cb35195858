"""``swinkit pretrain``: from pictures without labels to an encoder, and whether that was worth it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .given import run_settings
from .options import LAYOUTS, SIZE, FiniteRange, next_command, print_json, read_settings, say, shared


@click.command(name="pretrain")
@click.argument("folder", required=False)
@click.option(
    "--model", "--init", metavar="NAME|RUN|FILE", help="Where to start: a variant, a run, a SimMIM checkpoint; auto by size."
)
@click.option("--format", "layout", metavar="LAYOUT", help=LAYOUTS)
@click.option("--image-size", type=SIZE, help="Size of what the model sees, in pixels; by the pictures' size if not given.")
@click.option(
    "--mask-cell", type=click.IntRange(min=1), metavar="PIXELS",
    help="Side of what is hidden whole; by the size, 32 at 192 pixels, if not given.",
)  # fmt: skip
@click.option(
    "--mask-ratio", metavar="SHARE", type=FiniteRange(0, 1, True, True),
    help="Share of the cells that is hidden, between 0 and 1; 0.6 by default.",
)  # fmt: skip
@click.option("--sparse", is_flag=True, default=None, help="Encode a quarter of each picture: several times as fast.")
@click.option("--probe", metavar="DATA", help="A labelled set: features are measured on it, and the verdict given.")
@click.option("--no-verdict", is_flag=True, help="Measure features on the way, but do not weigh the whole at the end.")
@click.option("--time-limit", type=FiniteRange(min=0, min_open=True), metavar="MINUTES", help="Save and stop after so long.")
@click.option("--resume", "run", type=click.Path(path_type=Path), metavar="RUN", help="Go on with a run exactly.")
@shared(
    "out", "epochs", "seed", "device", "config", "set", "dry_run", "json", "quiet",
    out="A new folder for the run, by default runs/pretrain/NAME by the name of FOLDER.",
)  # fmt: skip
def command(
    folder: str | None, layout: str | None, run: Path | None, out: Path | None, device: str, config: Path | None,
    settings: tuple[str, ...], dry_run: bool, as_json: bool, quiet: bool, no_verdict: bool, **options: Any,
) -> None:  # fmt: skip
    """Learn from the pictures in FOLDER, and all folders in it, without labels: SimMIM around a Swin Transformer.

    Parts of each picture are hidden, and the network learns to paint them. What it has seen by then serves as a start for
    training with few labels. With --probe, a labelled set, it is measured on the way and weighed at the end.

    \b
    swinkit pretrain photos/
    swinkit pretrain photos/ --sparse --probe labelled/
    swinkit train labelled/ --init runs/pretrain/photos
    """
    options["cell"], options["ratio"] = options.pop("mask_cell"), options.pop("mask_ratio")
    chosen = read_settings(
        config, settings, data=folder, format=layout, device=None if device == "auto" else device,
        verdict=False if no_verdict else None, **options,
    )  # fmt: skip
    if run is None and not chosen.get("data"):
        raise UsageError("What shall be learned from? Give FOLDER: swinkit pretrain photos/")
    _check_heeded(
        {name for name, value in options.items() if value is not None} | {text.split("=")[0] for text in settings}, chosen
    )
    if no_verdict and run is None and not chosen.get("probe"):
        raise UsageError(
            "Without --probe there is no verdict that --no-verdict could leave out. Leave one out, or give the other"
        )
    if run is not None and (out is not None or dry_run):
        raise UsageError("--resume goes on with a run in its own folder; leave --out and --dry-run out.")
    result = _pretrain(chosen, run, out, dry_run, quiet)
    if not dry_run:
        from .pages.pretrained import report

        report(result.path)
        if result.verdict:
            say(str(result.verdict), quiet)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(result if dry_run else result.path)
    if not dry_run:
        next_command("swinkit", "train", chosen.get("probe") or "DATA", "--init", result.path, quiet=quiet)


def _check_heeded(named: set[str], chosen: dict[str, Any]) -> None:
    """Raises :class:`UsageError` for one of the ``named`` settings that has no effect beside the others."""
    sparse, text = chosen.get("sparse"), None
    if sparse and "ratio" in named:
        text = "--sparse keeps one of four cells and takes no --mask-ratio. Mend: --set covered=SHARE says how many of those kept are hidden too"
    elif not sparse and "covered" in named:
        text = (
            "covered is a share of the cells that --sparse keeps. Mend: --mask-ratio says how many are hidden, or add --sparse"
        )
    elif not chosen.get("probe") and "probe_every" in named:
        text = "probe_every says how often features are measured on a labelled set. Mend: name the set, --probe DATA, or leave it out"
    if text:
        raise UsageError(text)


def _pretrain(chosen: dict[str, Any], run: Path | None, out: Path | None, dry_run: bool, quiet: bool) -> Any:
    from ..train.settings import PretrainSettings

    settings = run_settings(PretrainSettings, chosen, run, out)
    from ..train.pretraining import announce, begin_pretraining, go_on
    from ..train.session import ready
    from ..train.watch import Display
    from .pages.pretrained import report

    display = Display(quiet)
    if run is not None:
        return go_on(run, chosen, display, report)
    if dry_run:
        announce(settings, display)
        return ready(settings, display).plan
    return begin_pretraining(settings, out, display, report)
