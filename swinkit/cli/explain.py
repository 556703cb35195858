"""``swinkit explain``: why a model answers as it does for one picture, and whether that explanation can be trusted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .options import check_new, next_command, print_json, say, shared

if TYPE_CHECKING:
    from ..explain.explanation import Explainer, View
    from ..explain.scores import Target
    from ..report.explained import Group
    from .explaining import Studio

WHY = "Bright is what speaks for the class, grey what says nothing or speaks against it. Hatched is what the model never sees."
WHOM = "The patch in the inner box asks; bright patches are listened to. Nothing outside the outer box can be."
FIELDS = "How far the middle token of each stage really looks, by gradients; the deeper, the wider."
ATLAS = (
    "What each head adds to its logits for every offset between two patches, query minus key, the same for every picture: the middle "
    "is a patch and itself. Blue is less than the head's mean, orange more."
)

METHODS = (
    "cam",
    "integrated-gradients",
    "smoothgrad",
    "rollout",
)  # of explain.explanation, repeated so that --help needs no torch


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
@click.argument("model")
@click.argument("picture", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--class", "names", multiple=True, metavar="NAME", help="Explain this class; repeatable. By default the two likeliest."
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(METHODS), help="How; repeatable. By default cam and rollout."
)
@click.option(
    "--at", type=At(), help="Show whom the patch under this pixel attends to; by default the strongest place of the first map."
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
    "--window", type=click.IntRange(min=1), metavar="N", help="With --atlas: also what the biases become in windows of N x N."
)
@click.option(
    "--resizing",
    type=click.Choice(["bicubic", "geometric"]),
    default="bicubic",
    show_default=True,
    help="How --window resizes tables of version 1.",
)
@click.option("--trust/--no-trust", "checked", default=True, help="Check every map; it takes most of the time. On by default.")
@click.option(
    "--image-size", type=click.IntRange(min=1), metavar="N", help="Scale the picture to this side instead of the model's."
)
@shared("out", "seed", "device", "json", "quiet")
def command(model: str, picture: Path, as_json: bool, quiet: bool, out: Path | None, **options: Any) -> None:
    """Explain MODEL's answer for PICTURE: one page and PNGs in a new folder.

    Maps of what speaks for a class, whom a patch attends to over its true window, where information comes from, and what each stage
    can see. Every map is checked: deletion and insertion against random order, weight randomisation, noise. One that fails says so.

    \b
    swinkit explain runs/classify/shoes photo.jpg
    swinkit explain runs/classify/shoes photo.jpg --class boot --at 120,80
    swinkit explain runs/classify/shoes photo.jpg --atlas --window 12 --no-trust
    """
    if options["window"] and not options["atlas"]:
        raise UsageError("--window says at which window the bias atlas is shown too; it needs --atlas")
    check_new(out)
    from ..train.run import first_free
    from .explaining import Studio

    explainer = prepared(model, picture, options)
    targets = chosen(explainer, options["names"])
    groups = looked(explainer, targets, options, quiet)
    folder = out or first_free(Path("runs"), "explain")
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(explainer, folder)
    found = write(studio, groups, Asked(model, picture, options))
    if as_json:
        print_json(found)
    else:
        tell(found)
    say(f"Written: {folder / 'explain.html'}", quiet)
    if not options["atlas"]:
        next_command("swinkit", "explain", model, picture, "--atlas", "--no-trust", quiet=quiet)


@dataclass(frozen=True)
class Asked:
    """What was typed."""

    model: str
    picture: Path
    options: dict[str, Any]

    @property
    def line(self) -> str:
        """The command that repeats it."""
        words = ["swinkit", "explain", self.model, str(self.picture)]
        for key, flag in (("names", "--class"), ("methods", "--method")):
            words += [word for value in self.options[key] for word in (flag, value)]
        if self.options["at"]:
            words += ["--at", "{},{}".format(*self.options["at"])]
        for key in ("stage", "block", "window", "image_size", "seed"):
            words += [f"--{key.replace('_', '-')}", str(self.options[key])] if self.options[key] is not None else []
        words += ["--atlas"] if self.options["atlas"] else []
        words += ["--resizing", self.options["resizing"]] if self.options["window"] else []
        return shlex.join([*words, *([] if self.options["checked"] else ["--no-trust"])])


@dataclass(frozen=True)
class Looked:
    """Views under one heading; ``small`` ones stand side by side."""

    heading: str
    lead: str
    views: Sequence[View]
    small: bool = False


def prepared(model: str, picture: Path, options: dict[str, Any]) -> Explainer:
    """The model and the picture, on the device that was asked for."""
    import torch

    from ..data.decode import decode
    from ..explain.explanation import Explainer
    from ..tasks import load
    from ..tasks.devices import find_device

    network: Any = load(model, image_size=options["image_size"]).to(find_device(options["device"]))
    torch.manual_seed(options["seed"] or 0)
    pixels = decode(picture, network.preprocessing.channels)
    return Explainer(network, pixels, options["checked"], seed=options["seed"] or 0)


def chosen(explainer: Explainer, names: Sequence[str]) -> list[Target]:
    """The classes that were named, else the two likeliest."""
    from ..explain.scores import class_target, find_class

    model: Any = explainer.model
    if names:
        return [class_target(model, find_class(model.classes, name)) for name in names]
    return ranked(explainer)[:2]


def ranked(explainer: Explainer) -> list[Target]:
    """Every class, likeliest first."""
    from ..explain.scores import class_target

    model: Any = explainer.model
    return sorted((class_target(model, index) for index in range(model.config.num_classes)), key=explainer.share, reverse=True)


def looked(explainer: Explainer, targets: Sequence[Target], options: dict[str, Any], quiet: bool) -> list[Looked]:
    """Every view that was asked for, in the order of the page."""
    methods = options["methods"] or ("cam", "rollout")
    classes = []
    for method in methods:
        for target in targets if method != "rollout" else targets[:1]:
            say(f"{method}: {target.name}", quiet)
            classes.append(explainer.of_target(target, method))
    say("attention", quiet)
    attention = attended(explainer, classes[0], options)
    say("receptive fields", quiet)
    fields = [explainer.of_field(stage) for stage in range(explainer.config.num_stages)]
    return [
        Looked("Why this class", WHY, classes),
        Looked("Whom a patch attends to", WHOM, attention),
        Looked("What each stage can see", FIELDS, fields, small=True),
    ]


def attended(explainer: Explainer, first: View, options: dict[str, Any]) -> list[View]:
    """Attention of the patch at --at, or at the peak of the ``first`` map, in a regular and a shifted block."""
    if options["at"]:
        x, y = options["at"]
    else:
        row, column = first.peak
        left, top, right, bottom = explainer.frame.box_of((column, row, column + 1, row + 1))
        x, y = (left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5
    stage = None if options["stage"] is None else options["stage"] - 1
    blocks = [-2, -1] if options["block"] is None else [options["block"] - 1]
    return [explainer.of_attention(x, y, stage, block) for block in blocks]


def write(studio: Studio, looked: Sequence[Looked], asked: Asked) -> dict[str, Any]:
    """PNGs, explain.html and explanation.json in the studio's folder; returns what the last holds."""
    from ..report.explained import ExplainedPage, Group, write_explained
    from ..weights.atomic import write_json
    from .explaining import to_dict

    explainer = studio.explainer
    groups = []
    for part in looked:
        figures = [studio.figure(view, part.small) for view in part.views]
        heads = [head for view in part.views if "heads" in view.facts for head in studio.heads(view)]
        groups.append(Group(part.heading, part.lead, [*figures, *heads]))
    groups += biases(studio, asked.options)
    answers = answered(explainer)
    page = ExplainedPage(
        title=f"Why {answers[0][0]}?",
        summary=f"{asked.picture.name}, explained by the model {asked.model}. {judged(looked)}",
        picture=studio.framed(), answers=answers[:5], groups=groups, facts=described(explainer), commands=[asked.line],
    )  # fmt: skip
    write_explained(studio.folder / "explain.html", page)
    views = [to_dict(view, explainer, studio.files[view.key]) for part in looked for view in part.views]
    found = {
        "model": asked.model, "picture": str(asked.picture), "page": str(studio.folder / "explain.html"),
        "answers": [{"class": name, "share": share} for name, share in answers[:5]], "seen": explainer.frame.seen,
        "maps": views, "files": sorted(studio.files.values()),
    }  # fmt: skip
    write_json(studio.folder / "explanation.json", found)
    return found


def biases(studio: Studio, options: dict[str, Any]) -> list[Group]:
    """The bias atlas, and the same at another window."""
    if not options["atlas"]:
        return []
    from ..explain.atlas import atlas
    from ..report.explained import Group
    from .explaining import bias_figures

    model = studio.explainer.model
    groups = [Group("Bias atlas", ATLAS, bias_figures(atlas(model), studio.keep))]
    if options["window"]:
        resized = atlas(model, options["window"], options["resizing"])
        how = (
            f"tables resized by {options['resizing']}"
            if studio.explainer.config.version == 1
            else "log-CPB asked at new offsets"
        )
        heading = f"Bias atlas, windows of {options['window']} x {options['window']}"
        groups.append(Group(heading, f"The same heads after a change of window: {how}.", bias_figures(resized, studio.keep)))
    return groups


def answered(explainer: Explainer) -> list[tuple[str, float]]:
    """Every class with its share, likeliest first."""
    return [(target.name, explainer.share(target)) for target in ranked(explainer)]


def described(explainer: Explainer) -> dict[str, str]:
    height, width = explainer.frame.picture
    rows, columns = explainer.frame.size
    left, top, right, bottom = (round(end) for end in explainer.frame.seen)
    return {
        "picture": f"{width} x {height} pixels",
        "the model sees": f"x {left} to {right - 1}, y {top} to {bottom - 1}, as {columns} x {rows} pixels",
        "architecture": f"Swin V{explainer.config.version}, {'-'.join(map(str, explainer.config.depths))} blocks",
    }


def judged(looked: Sequence[Looked]) -> str:
    """How many maps can be trusted, in a sentence."""
    verdicts = [view.trust.passed for part in looked for view in part.views if view.trust is not None]
    if not verdicts:
        return "Its maps were not checked (--no-trust)."
    good = sum(verdicts)
    return f"Of {len(verdicts)} maps {good} passed every check" + (
        "." if good == len(verdicts) else "; the others say on their face what they fail."
    )


def tell(found: dict[str, Any]) -> None:
    """Answers and maps with their verdicts, on stdout."""
    for answer in found["answers"]:
        click.echo(f"{answer['class']:40} {answer['share']:6.1%}")
    click.echo()
    for view in found["maps"]:
        trust = view["trust"]
        verdict = "not checked"
        if trust:
            failed = [check["name"] for check in trust["checks"] if not check["passed"]]
            verdict = f"FAILS {' and '.join(failed)}" if failed else "passed every check"
        click.echo(f"{view['title']:72} {verdict}")
