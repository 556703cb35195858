"""``swinkit train``: from pictures to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from .given import run_settings
from .options import LAYOUTS, SIZE, FiniteRange, next_command, print_json, read_settings, shared


@click.command(name="train")
@click.argument("data", required=False)
@click.option(
    "--model",
    "--init",
    metavar="NAME|RUN|FOLDER",
    help="Where to start: a variant to train from nothing, or a model or pre-training to fine-tune; chosen by the pictures' size by default.",
)
@click.option("--format", "layout", metavar="LAYOUT", help=LAYOUTS)
@click.option("--image-size", type=SIZE, help="Size of what the model sees, in pixels; by the pictures' size if not given.")
@click.option(
    "--time-limit",
    type=FiniteRange(min=0, min_open=True),
    metavar="MINUTES",
    help="End after so long, with the model as it is then; with --folds, each of them.",
)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    metavar="K",
    help="Cross-validate: K runs, each judged on another part of the pictures.",
)
@click.option(
    "--resume",
    "run",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with a stopped run, or a cross-validation, from where it was, to the same end.",
)
@shared(
    "out", "epochs", "seed", "device", "config", "set", "dry_run", "json", "quiet",
    out="A new folder for the run, by default runs/classify/NAME by the name of DATA.",
)  # fmt: skip
def command(
    layout: str | None, run: Path | None, out: Path | None, device: str, config: Path | None, settings: tuple[str, ...],
    dry_run: bool, as_json: bool, quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Train a Swin Transformer on DATA: class folders, a CSV or JSONL manifest, IDX files, or a bundled set's name.

    Without a flag everything is chosen from the data: the model, its size, how long, how to augment. The choices stand in
    the run's config.yaml, which reproduces it: swinkit train --config RUN/config.yaml.

    \b
    swinkit train photos/
    swinkit train photos/ --model runs/classify/shoes --epochs 10
    swinkit train --resume runs/classify/photos
    """
    chosen = read_settings(config, settings, format=layout, device=None if device == "auto" else device, **options)
    if run is None and not chosen.get("data"):
        raise UsageError(
            "What shall be trained on? Give DATA: swinkit train photos/, or a bundled set: swinkit train fashion-mini"
        )
    if run is not None and out is not None:
        raise UsageError("--resume goes on in the run's own folder; leave --out out.")
    if run is not None and dry_run:
        raise UsageError("--dry-run shows the plan of a new run; it does not go with --resume.")
    if _all_folds(chosen, run, dry_run):
        _cross_validate(chosen, run, out, as_json, quiet)
        return
    result = _train(chosen, run, out, dry_run, quiet)
    if not dry_run:
        from ..weights import REPORT
        from .judging import judge

        judge(str(result.path), device=device, quiet=quiet).report(result.path / REPORT)
    if as_json:
        print_json(result.to_dict())
    elif dry_run:
        click.echo(result)
    else:
        click.echo(result.path)
    if not dry_run:
        next_command("swinkit", "evaluate", result.path, quiet=quiet)


def _train(chosen: dict[str, Any], run: Path | None, out: Path | None, dry_run: bool, quiet: bool) -> Any:
    from ..train.settings import TrainSettings

    settings = run_settings(TrainSettings, chosen, run, out)
    from ..train.session import begin, ready, resume
    from ..train.watch import Display

    display = Display(quiet)
    if run is not None:
        return resume(run, chosen, display)
    if dry_run and settings.folds and settings.fold is None:
        display.say(f"Cross-validation: {settings.folds} runs, one after another, each about as the plan of the first says.")
    return ready(settings, display).plan if dry_run else begin(settings, out, display)


def _all_folds(chosen: dict[str, Any], run: Path | None, dry_run: bool) -> bool:
    """Whether all parts are asked for; naming a ``fold`` asks for one run."""
    from ..weights import FOLDS

    if run is not None:
        return (run / FOLDS).is_file()
    return bool(chosen.get("folds")) and chosen.get("fold") is None and not dry_run


def _cross_validate(chosen: dict[str, Any], run: Path | None, out: Path | None, as_json: bool, quiet: bool) -> None:
    from ..train.settings import TrainSettings
    from ..validation import validated

    settings = validated(TrainSettings, chosen) if run is not None else run_settings(TrainSettings, chosen, run, out)
    from ..train.crossval import begin_folds, resume_folds
    from ..train.watch import Display

    display = Display(quiet)
    result = resume_folds(run, chosen, display) if run is not None else begin_folds(settings, out, display)
    if as_json:
        print_json(result.to_dict())
    else:
        for name, (mean, error) in result.figures().items():
            spread = f"standard error {error:.4f} over" if error else "the same in all"  # which is no certainty
            click.echo(f"{name:22}{mean:8.4f}   {spread} {len(result.folds)} folds")
        click.echo(result.path)
    next_command("swinkit", "train", *([chosen["data"]] if chosen.get("data") else ["DATA"]), quiet=quiet)
