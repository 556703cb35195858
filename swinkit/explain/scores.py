"""What an explanation is about: one number made from what a model gives out. A task that is to be explained adds its own here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import UsageError, nearest
from ..tasks.classification import ClassificationDecoder
from ..weights.attached import attached
from .cam import Score


@dataclass(frozen=True)
class Target:
    """``score`` is what gradients are taken of, ``share`` what is shown and measured, in 0..1; both map outputs to (B,). ``name`` is unlike
    that of any other target of the model.

    A detector's would be the score of one of its boxes, a segmenter's the mean score of a class over a region.
    """

    name: str
    score: Score
    share: Score


def class_target(model: nn.Module, index: int) -> Target:
    """Class ``index`` of a classifier with ``classes``, ``multi_label`` and perhaps a fitted temperature.

    Between classes that exclude one another only differences of logits mean anything, since adding the same to all changes no
    probability. So the score is the logit less the mean of all: another map for each class. Of independent labels it is the logit.
    Where several classes have one name, as ImageNet's two cranes, the index is added to it.
    """
    left = attached(model)
    classes = left.classes or ()
    decoder = ClassificationDecoder(classes, left.multi_label, left.temperature)

    def score(logits: Tensor) -> Tensor:
        return logits[:, index] if decoder.multi_label else logits[:, index] - logits.mean(dim=1)

    def share(logits: Tensor) -> Tensor:
        return decoder.probabilities(logits)[:, index]

    return Target(told_apart(classes)[index] if classes else f"class {index}", score, share)


def told_apart(classes: Sequence[str]) -> list[str]:
    """A name for each of ``classes`` that no other has: with its number where several are called so."""
    names = list(classes)
    for _ in range(2):  # a class may be called like another with its number
        often = Counter(names)
        names = [
            f"{known} ({index})" if often[name] > 1 else name
            for index, (known, name) in enumerate(zip(classes, names, strict=True))
        ]
    return names


def likeliest(model: nn.Module, logits: Tensor, count: int) -> list[Target]:
    """The ``count`` classes of which a classifier gives most to one picture, ``logits`` (1, classes), in order."""
    return [class_target(model, index) for index in logits[0].argsort(descending=True, stable=True)[:count].tolist()]


def find_class(classes: tuple[str, ...], name: str) -> int:
    """Index of the class called ``name``, told apart so, or numbered so where no class has that name; raises :class:`UsageError` for none, and for several."""
    places = [index for index, known in enumerate(classes) if known == name]
    if len(places) > 1:
        numbers = " or ".join(map(str, places))
        raise UsageError(
            f"The model has {len(places)} classes called {name!r}; expected one. Mend: give its number instead, {numbers}"
        )
    if places:
        return places[0]
    if name in (apart := told_apart(classes)):
        return apart.index(name)
    if name.isdecimal() and int(name) < len(classes):
        return int(name)
    some = f"It has {len(classes)}, among them {', '.join(map(repr, classes[:5]))}"
    raise UsageError(
        f"The model has no class {name!r}. {nearest(name, list(dict.fromkeys(classes)), some, most=3, likeness=0.4)}"
    )
