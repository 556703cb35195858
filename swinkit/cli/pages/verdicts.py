"""Verdicts on maps in words: what each check measured, which limit it keeps, what it means that a map fails it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...explain.explanation import View
from ...explain.facts import AttentionFacts, ClassFacts, Facts, FieldFacts, RolloutFacts
from ...explain.trust import Check
from ...report.explained import MapVerdict, Proof
from ...report.svg import percent, shorten

UNSURE = 0.1  # of the way from an even guess to certainty: an answer below it leaves the checks little evidence


class Words(NamedTuple):
    """How a check is told: ``measured`` and ``limit`` take its figures, ``failed`` is what a map that fails it does."""

    measured: str
    limit: str
    failed: str


TOLD = {
    "deletion and insertion": Words(
        "{:.1%} of the orders, its own and random ones, do as well",
        "at most {:.0%}: taking away what the map marks must lower the value sooner, bringing it back raise it sooner",
        "is not shown to do better than chance: it marks the wrong places, or the value hardly depends on the picture",
    ),
    "weight randomisation": Words(
        "rank correlation {:.2f} with maps of randomised models",
        "at most {:.2f}: a map that stays when all is forgotten shows the picture or the architecture, not what was learned",
        "is much the same when all that was learned is shuffled: it shows the picture or the architecture",
    ),
    "noise": Words(
        "rank correlation {:.2f} with maps of noisy pictures",
        "at least {:.2f}: invisible changes must not move it",
        "is moved by changes of the picture that nobody sees",
    ),
}


def verdict_of(view: View) -> MapVerdict | None:
    if view.trust is None:
        return None
    lines = {"brought back": view.trust.insertion, "taken away": view.trust.deletion, "at random": view.trust.chance.mean(0)}
    shares = view.trust.shares.tolist()
    points = {name: list(zip(shares, line.tolist(), strict=True)) for name, line in lines.items()}
    return MapVerdict([proof_of(check) for check in view.trust.checks], points, worth_of(view.facts))


def worth_of(facts: Facts) -> str:
    """What the checks measured as cells were taken away."""
    match facts:
        case ClassFacts():
            return "The class's share"
        case RolloutFacts(name):
            return f"The share of {shorten(name, 24)}"
        case AttentionFacts() | FieldFacts():
            return "Likeness of the patch to itself"


def proof_of(check: Check) -> Proof:
    told = TOLD[check.name]
    measured, limit = told.measured.format(check.value), told.limit.format(check.limit)
    return Proof(check.name, check.passed, *(words.replace("%", "\u202f%") for words in (measured, limit)))


def judged(views: Sequence[View]) -> str:
    """How many maps can be trusted, in a sentence."""
    verdicts = [view.trust.passed for view in views if view.trust is not None]
    if not verdicts:
        return "Its maps were not checked (--no-trust)."
    good = sum(verdicts)
    if good == len(verdicts):
        return f"All {good} maps passed every check."
    if not good:
        return f"None of {len(verdicts)} maps passed every check; each says on its face what it fails."
    return f"{good} of {len(verdicts)} maps passed every check; the others say on their face what they fail."


def empties(views: Iterable[View]) -> list[str]:
    """Of each class of which a map is empty, what that means, in sentences."""
    silent: dict[str, list[str]] = {}
    marked = set()
    for view in views:
        if isinstance(view.facts, ClassFacts) and view.peak is None:
            silent.setdefault(view.facts.of_class, []).append(view.title)
        elif isinstance(view.facts, ClassFacts):
            marked.add(view.facts.of_class)
    share = " What share it has comes from the head's bias, or from how little speaks for other classes."
    return [
        f"{' and '.join(dict.fromkeys(titles))}: the map is empty, since no token of this picture speaks for {name}, and there is no place to "
        f"check.{'' if name in marked else share}"
        for name, titles in silent.items()
    ]


def meanings(views: Iterable[View], answers: Sequence[tuple[str, float]], chance: float | None) -> list[str]:
    """What it means that maps failed, in sentences; none where none failed.

    ``answers`` are (class, share), likeliest first; ``chance`` is what an even guess gives each, None of independent labels.
    """
    failed = {name for view in views if view.trust is not None for name in view.trust.failed}
    if not failed:
        return []
    name, share = answers[0]
    found = []
    if chance is not None and share - chance < UNSURE * (1 - chance):
        found.append(
            f"The model is unsure here: its likeliest class, {name}, gets {percent(share)}, and an even guess would give {percent(chance)}. "
            "Maps of so unsure an answer often fail, since there is little evidence to find."
        )
    found.append("A failed check speaks of the map and of the model, and is no fault of the program.")
    return found + [f"A map that fails {name} {words.failed}." for name, words in TOLD.items() if name in failed]
