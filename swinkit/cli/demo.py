"""``swinkit demo``: what Swin does, on real pictures that come with the package, in a few minutes and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import next_command, print_json, say, shared

if TYPE_CHECKING:
    from ..tasks.evaluation import Evaluation
    from .judging import Judged

BUNDLED_MODEL = "swin_nano.fashion_mnist"
PER_CLASS = 20
EPOCHS = 40  # for 200 pictures: seconds per run, and enough for the bundled weights to settle on digits
SHOWN = 3  # right answers, and as many mistakes


@click.command(name="demo")
@click.option(
    "--task", type=click.Choice(["classification"]), default="classification", show_default=True, help="What is learned."
)
@shared(
    "out", "epochs", "seed", "json", "quiet",
    out="A new folder for the runs, by default runs/demo or the next free number.",
    epochs=f"Passes over the {10 * PER_CLASS} training pictures, {EPOCHS} by default.",
    seed="Seed of everything random; 0 by default.",
)  # fmt: skip
def command(task: str, out: Path | None, epochs: int | None, seed: int | None, as_json: bool, quiet: bool) -> None:
    """Watch a small Swin judge clothes, then learn digits from 20 examples of each.

    The bundled swin_nano, trained on Fashion-MNIST, is evaluated on test pictures, fine-tuned on hand-written digits that it
    has never seen, and compared with the same budget from nothing. The folder keeps
    clothes, its figures with a report, and two runs: digits, with a report that compares them, and digits-from-nothing.
    """
    from ..train.place import claim, first_free
    from ..weights import REPORT

    folder = claim(out) if out else first_free(Path("runs"), "demo")
    budget = {"per_class": PER_CLASS, "epochs": epochs or EPOCHS, "seed": seed or 0, "tensorboard": False}

    say("1/3  The bundled swin_nano judges pictures of clothes that it never saw.", quiet)
    clothes = judged(BUNDLED_MODEL, "fashion-mini", quiet)
    clothes.write(folder / "clothes")
    show(clothes.evaluation, quiet)

    say(f"\n2/3  It learns digits from {PER_CLASS} examples of each, and so does a network that starts from nothing.", quiet)
    nothing = learned(folder / "digits-from-nothing", "swin_nano", budget, quiet)
    tuned = learned(folder / "digits", BUNDLED_MODEL, budget, quiet)
    rivals = [rival("fine-tuned from the bundled weights", tuned, ours=True), rival("same budget from nothing", nothing)]
    report = tuned.report(folder / "digits" / REPORT, rivals)

    say("\n3/3  What it sees in pictures that it was not trained on:", quiet)
    show(tuned.evaluation, quiet)
    stages = {"clothes": clothes, "digits": tuned, "digits_from_nothing": nothing}
    figures = {name: one.evaluation.figures["top1"].value for name, one in stages.items()}
    if as_json:
        print_json({**figures, "report": str(report)})
    else:
        click.echo(f"\nclothes              {figures['clothes']:6.1%} of {len(clothes.evaluation):,} test pictures right")
        click.echo(f"digits, fine-tuned   {figures['digits']:6.1%} of {len(tuned.evaluation):,}")
        click.echo(f"digits, from nothing {figures['digits_from_nothing']:6.1%}")
        click.echo(f"report               {report}")
    say("Your own pictures, one folder per class:", quiet)
    next_command("swinkit", "train", "photos/", quiet=quiet)


def learned(out: Path, model: str, budget: dict[str, Any], quiet: bool) -> Judged:
    """A run on the bundled digits in ``out``, judged on all digits that it did not train on."""
    from ..train.session import fit
    from ..train.watch import Display

    class Bar(Display):
        """Progress without a line per epoch; the run's log.txt has them."""

        def say(self, message: str) -> None:
            pass

    run = fit("digits", model, out, display=Bar(quiet), **budget)
    return judged(str(run.path), None, quiet)


def judged(model: str, data: str | None, quiet: bool) -> Judged:
    from .judging import judge

    return judge(model, data, quiet=quiet)


def rival(name: str, judged: Judged, ours: bool = False) -> Any:
    from ..report.page import Rival

    figure = judged.evaluation.figures["top1"]
    return Rival(name, figure.value, figure.low, figure.high, f"{len(judged.evaluation):,} pictures", ours)


def show(evaluation: Evaluation, quiet: bool) -> None:
    """Some right answers and the worst mistakes, one line each, on stderr."""
    rows = [*evaluation.right_answers(SHOWN), *evaluation.mistakes(SHOWN)]
    for row in rows:
        scores = evaluation.probabilities[row]
        best, truth = int(scores.argmax()), int(evaluation.truth[row])
        verdict = "right" if best == truth else f"wrong: it is {evaluation.classes[truth]}"
        say(f"     {evaluation.sources[row]:<18} {evaluation.classes[best]} ({scores[best]:.0%}), {verdict}", quiet)
