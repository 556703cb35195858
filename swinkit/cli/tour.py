"""``swinkit tour``: one page that walks through Swin on a picture."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .given import MODEL, PICTURE, network
from .options import bar, next_command, print_json, say, shared

if TYPE_CHECKING:
    from ..explain.tour.subject import Subject

REPEATS = 5


@click.command("tour")
@click.argument("picture", required=False, type=PICTURE)
@click.option(
    "--model", type=network(), metavar="MODEL", help="A run, a file, a folder or a name; a variant's name means random weights."
)
@click.option(
    "--simmim",
    type=MODEL,
    metavar="RUN",
    help="A run of swinkit pretrain that paints the chapter on SimMIM; by default MODEL if it is one, else one that comes with swinkit.",
)
@click.option("--lang", type=click.Choice(["en", "ru"]), default="en", show_default=True, help="Language of the page.")
@click.option(
    "--repeats",
    metavar="N",
    type=click.IntRange(min=0),
    default=REPEATS,
    show_default=True,
    help="Runs of each timing; 0 leaves timings out.",
)
@shared("out", "json", "quiet", out="A new file for the page, by default tour.en.html or tour.ru.html.")
def command(
    picture: Path | None, model: str | None, simmim: str | None, lang: str, repeats: int, out: Path | None, as_json: bool, quiet: bool
) -> None:  # fmt: skip
    """Walk through a Swin Transformer on PICTURE: one interactive page, every number computed for it, without a network.

    Without a PICTURE it is a bundled one, with the bundled trained swin_nano. A photograph without --model is shown with Swin-T and
    random weights: sizes, windows and costs are true then, preferences are not, and the page says so. What SimMIM learns is shown by a network
    that was pre-trained so on small pictures of clothes, or by yours.

    \b
    swinkit tour
    swinkit tour photo.jpg --model runs/classify/shoes --lang ru --out shoes.html
    swinkit tour photo.jpg --simmim runs/pretrain/photos
    """
    from ..weights.atomic import check_absent, check_writable

    path = out or Path(f"tour.{lang}.html")
    check_absent(path)
    check_writable(path.parent)
    from ..explain.tour.measured import Effort
    from ..explain.tour.pages import write_tour
    from ..explain.tour.painting import choose_painter
    from ..explain.tour.subject import open_subject

    subject = open_subject(picture, model)
    painter = choose_painter(subject.model_name, simmim)
    given = [word for option, value in (("--model", model), ("--simmim", simmim)) if value for word in (option, value)]
    given += ["--repeats", str(repeats)] if repeats != REPEATS else []
    words = ["swinkit", "tour", *([str(picture)] if picture else []), *given, "--lang", lang]
    spent = "; most of the time is measuring, which --repeats 0 leaves out" if repeats else ""
    say(f"Computing the tour of {subject.picture_name} with {subject.model_name}{spent}.", quiet)
    with bar("starting", quiet) as show:
        progress = telling(show, quiet) if repeats else show
        write_tour(path, subject, lang, Effort(repeats), shlex.join(words), painter, progress)
    if as_json:
        print_json(
            {
                "page": str(path),
                "bytes": path.stat().st_size,
                "model": subject.model_name,
                "trained": subject.trained,
                "simmim": painter.name,
            }
        )
    else:
        click.echo(path)
    next_command("swinkit", *following(picture, model, subject, painter.own), quiet=quiet)


def telling(show: Callable[..., None], quiet: bool) -> Callable[[int, int, str], None]:
    """``show``, which is told each chapter, and a line for each that is measured: these take long, and not everybody sees a bar."""

    def progress(done: int, total: int, about: str) -> None:
        show(done, total, about)
        if about.startswith("measuring"):
            say(f"{done + 1}/{total} {about}", quiet)

    return progress


def following(picture: Path | None, model: str | None, subject: Subject, paints: bool) -> Sequence[str | Path]:
    """What is worth doing after the tour of ``subject``: an own picture, why the model answers as it does or, if it ``paints``, what, or a
    model that has learned."""
    if picture is None:
        return "tour", "photo.jpg", *(["--model", model] if model else [])
    if not subject.trained:
        return "train", "photos/"
    if not subject.model.config.num_classes and not paints:
        return "train", "photos/", "--init", subject.model_name
    return "explain", subject.model_name, picture, *(["--reconstruct"] if paints else [])
