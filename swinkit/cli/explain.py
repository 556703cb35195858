"""``swinkit explain``: why a model answers as it does for one picture, and whether that explanation can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .given import MODEL, PICTURE
from .options import SIZE, at_size, check_new, next_command, print_json, say, say_doubts, shared

if TYPE_CHECKING:
    from ..explain.explanation import Explainer, View
    from ..explain.scores import Target
    from .pages.asked import Asked
    from .pages.explaining import Looked

WHY = "Bright is what speaks for the class, grey what says nothing or speaks against it. Hatched is what the model never sees."
WHOM = "The patch in the inner box asks; bright patches are listened to. Nothing outside the outer box can be."
FIELDS = "How far the middle token of each stage really looks, by gradients; as a rule the deeper, the wider."
METHODS = ["cam", "cam-tokens", "integrated-gradients", "smoothgrad", "rollout"]  # explain.methods'; --help needs no torch


class At(click.ParamType):
    """``X,Y`` in pixels of the picture."""

    name = "X,Y"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            x, y = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                f"{value!r} is no pixel. Give X,Y in pixels from the upper left corner, for instance 120,80", parameter, ctx
            )
        return x, y


@click.command("explain")
@click.argument("model", type=MODEL)
@click.argument("picture", type=PICTURE)
@click.option(
    "--class",
    "names",
    multiple=True,
    metavar="NAME",
    help="Explain this class, by name or number; repeatable. By default the two likeliest.",
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(METHODS), help="How; repeatable. By default cam and rollout."
)
@click.option(
    "--at",
    type=At(),
    help="Show whom the patch under this pixel attends to; by default the strongest place of the first map that has one.",
)
@click.option(
    "--stage",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stage of the attention shown, from 1; by default the deepest with several windows.",
)
@click.option(
    "--block",
    type=click.IntRange(min=1),
    metavar="N",
    help="Its block, from 1; even ones shift. By default a regular and a shifted one.",
)
@click.option("--atlas", is_flag=True, help="Add the relative position bias of every head.")
@click.option(
    "--window",
    type=click.IntRange(1, 64),
    metavar="N",
    help="With --atlas: also what the biases become in windows of N x N, up to 64.",
)
@click.option(
    "--resizing",
    type=click.Choice(["bicubic", "geometric"]),
    default="bicubic",
    show_default=True,
    help="How --window resizes tables of version 1.",
)
@click.option("--trust/--no-trust", "checked", default=True, help="Check every map; it takes most of the time. On by default.")
@click.option("--image-size", type=SIZE, help="Scale the picture to this size in pixels instead of the model's.")
@click.option(
    "--reconstruct", is_flag=True, help="Show instead what a pre-trained model paints where parts of the picture are hidden."
)
@shared(
    "out", "seed", "device", "json", "quiet",
    out="A new folder for page and PNGs, by default runs/explain or the next free number.",
    seed="Seed of the checks, of smoothgrad's noise and of what --reconstruct hides; 0 by default.",
)  # fmt: skip
def command(model: str, picture: Path, as_json: bool, quiet: bool, out: Path | None, reconstruct: bool, **options: Any) -> None:
    """Explain MODEL's answer for PICTURE: one page and PNGs in a new folder.

    Maps of what speaks for a class, whom a patch attends to over its true window, where information comes from, and what each stage
    can see. Every map is checked: deletion and insertion against random order, weight randomisation, noise. One that fails says so.

    \b
    swinkit explain runs/classify/shoes photo.jpg
    swinkit explain runs/classify/shoes photo.jpg --class boot --at 120,80
    swinkit explain runs/classify/shoes photo.jpg --atlas --window 12 --no-trust
    swinkit explain runs/pretrain/photos photo.jpg --reconstruct
    """
    from ..weights.atomic import check_writable
    from .pages.asked import Asked

    asked = Asked(model, picture, **options)
    if asked.window and not asked.atlas:
        raise UsageError("--window says at which window the bias atlas is shown too; it needs --atlas")
    check_new(out)
    check_writable(out or Path("runs"))
    if reconstruct:
        painted(asked, as_json, quiet, out)
        return
    from ..train.place import first_free
    from .pages.explaining import Studio, write

    explainer = prepared(asked)
    say_doubts(explainer.model, quiet)
    explainer.targets = chosen(explainer, asked.names)
    views = looked(explainer, asked, quiet)
    folder = out or first_free(Path("runs"), "explain")
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(explainer, folder)
    found = write(studio, views, asked)
    if as_json:
        print_json(found)
    else:
        tell(found)
    say(f"Written: {folder / 'explain.html'}", quiet)
    again: list[str | Path] = ["explain", model, picture, *at_size(asked.image_size), "--atlas", "--no-trust"]
    next_command("swinkit", *(["tour", picture, "--model", model] if asked.atlas else again), quiet=quiet)


def painted(asked: Asked, as_json: bool, quiet: bool, out: Path | None) -> None:
    """The picture with parts hidden, and what the model paints there."""
    flags = {
        "--class": asked.names, "--method": asked.methods, "--at": asked.at, "--stage": asked.stage, "--block": asked.block,
        "--atlas": asked.atlas, "--image-size": asked.image_size, "--window": asked.window, "--no-trust": not asked.checked,
    }  # fmt: skip
    given = [flag for flag, value in flags.items() if value]
    if given:
        raise UsageError(
            f"--reconstruct shows what is painted, at the model's own size; it has no use for {', '.join(given)}. Leave that out"
        )
    from .pages.reconstructing import write

    folder, found = write(asked.model, asked.picture, out, asked.seed or 0, asked.device)
    if as_json:
        print_json(found)
    else:
        for number, error in enumerate(found["errors"], 1):
            click.echo(f"mask {number}: mean error {error:.4f} of 0 to 1")
    say(f"Written: {folder / 'reconstruction.html'}", quiet)
    next_command("swinkit", "train", "DATA", "--init", asked.model, quiet=quiet)


def prepared(asked: Asked) -> Explainer:
    """The model and the picture, on the device that was asked for."""
    from ..data.decode import decode
    from ..devices import find_device
    from ..explain.explanation import Explainer
    from ..tasks import load

    network: Any = load(asked.model, image_size=asked.image_size).to(find_device(asked.device))
    if not network.config.num_classes:
        mend = "--reconstruct shows what it paints" if network.task == "pretraining" else "choose a classifier"
        raise UsageError(f"{asked.model} has no classes, so there is no answer to explain. Mend: {mend}")
    pixels = decode(asked.picture, network.preprocessing.channels)
    return Explainer(network, pixels, asked.checked, seed=asked.seed or 0)


def chosen(explainer: Explainer, names: Sequence[str]) -> list[Target]:
    """The classes that were named, each once, else the two likeliest."""
    from ..explain.scores import class_target, find_class, likeliest

    model: Any = explainer.model
    if names:
        return [class_target(model, index) for index in dict.fromkeys(find_class(model.classes, name) for name in names)]
    return likeliest(model, explainer.outputs, 2)


def looked(explainer: Explainer, asked: Asked, quiet: bool) -> list[Looked]:
    """Every view that was asked for, in the order of the page."""
    from ..data.collection import shown
    from ..explain.methods import METHODS as WAYS
    from .pages.explaining import Looked

    methods = dict.fromkeys(asked.methods or ("cam", "rollout"))
    classes = []
    for method in methods:
        for target in explainer.targets if WAYS[method].by_class else explainer.targets[:1]:
            say(f"{method}: {shown(target.name)}" if WAYS[method].by_class else method, quiet)
            classes.append(explainer.of_target(target, method))
    say("attention", quiet)
    attention = attended(explainer, classes, asked)
    say("receptive fields", quiet)
    fields = [explainer.of_field(stage) for stage in range(explainer.config.num_stages)]
    return [
        Looked("Why this class", WHY, classes),
        Looked("Whom a patch attends to", WHOM, attention),
        Looked("What each stage can see", FIELDS, fields, small=True),
    ]


def attended(explainer: Explainer, maps: Sequence[View], asked: Asked) -> list[View]:
    """Attention of the patch at --at, or at the peak of the first of ``maps`` that is not empty, or in the middle, in a regular and a shifted block."""
    x: float
    y: float
    if asked.at:
        x, y = asked.at
    else:
        rows, columns = explainer.frame.size
        row, column = next((view.peak for view in maps if view.peak), (rows // 2, columns // 2))
        left, top, right, bottom = explainer.frame.box_of((column, row, column + 1, row + 1))
        x, y = (left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5
    stage = explainer.windowed if asked.stage is None else asked.stage - 1
    depths = explainer.config.depths
    if stage >= len(depths):
        raise UsageError(f"--stage {stage + 1}: the model has {len(depths)} stages")
    if asked.block is not None and asked.block > depths[stage]:
        raise UsageError(f"--block {asked.block}: stage {stage + 1} has {depths[stage]} blocks")
    blocks = [-2, -1][-depths[stage] :] if asked.block is None else [asked.block - 1]
    return [explainer.of_attention(x, y, stage, block) for block in blocks]


def tell(found: dict[str, Any]) -> None:
    """Answers and maps with their verdicts, and what failed ones mean, on stdout."""
    from ..data.collection import shown

    for answer in found["answers"]:
        click.echo(f"{shown(answer['class']):40} {answer['share']:6.1%}")
    click.echo()
    for view in found["maps"]:
        trust = view["trust"]
        verdict = "not checked" if view["peak"] else "empty: nothing speaks for this class"
        if trust:
            failed = [check["name"] for check in trust["checks"] if not check["passed"]]
            verdict = f"FAILS {' and '.join(failed)}" if failed else "passed every check"
        click.echo(f"{shown(view['title']):72} {verdict}")
    if found["notes"]:
        click.echo("\n" + "\n".join(map(shown, found["notes"])))
