"""k-fold cross-validation, for sets so small that one validation part says little: k runs that each keep another part aside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.collection import counted
from ..errors import UsageError
from ..validation import validated
from ..weights import CONFIG, FOLDS
from ..weights.atomic import write_json
from .constancy import FREE, unchanged
from .place import RUNS, check_place, claim, first_free, read_record
from .prepare import checked, places
from .recipe import recipe_of
from .session import begin, kept, resume
from .settings import TrainSettings
from .watch import Display, Unheard


@dataclass(frozen=True)
class CrossValidation:
    """``folds`` are the results of the k runs in ``path``/fold-1, …, as :class:`RunResult` turned into dictionaries."""

    path: Path
    folds: tuple[Mapping[str, Any], ...]

    @property
    def unfinished(self) -> int:
        """Folds that a time limit ended, whose figures are of the models as they are."""
        return sum(not is_finished(fold) for fold in self.folds)

    def figures(self) -> dict[str, tuple[float, float]]:
        """For each validation metric that every fold has its mean over the folds and the standard error of that mean."""
        answer = {}
        for name in [key for key in self.folds[0]["validation"] if all(key in fold["validation"] for fold in self.folds)]:
            values = [fold["validation"][name] for fold in self.folds]
            mean = sum(values) / len(values)
            spread = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
            answer[name] = mean, math.sqrt(spread / len(values))
        return answer

    def to_dict(self) -> dict[str, Any]:
        figures = {name: {"mean": mean, "standard_error": error} for name, (mean, error) in self.figures().items()}
        return {"path": str(self.path), "figures": figures, "folds": [dict(fold) for fold in self.folds]}


def cross_validate(
    data: str | Path, model: str | Path = "auto", out: str | Path | None = None, *, folds: int, display: Display | None = None,
    **settings: Any,
) -> CrossValidation:  # fmt: skip
    """Cut the pictures at ``data`` into so many ``folds`` and train as many runs, each validated on another of them, in a new folder.

    ``model``, further keywords, what is raised, and warnings are as for :func:`swinkit.train.fit`; ``time_limit`` is of each run. What an
    interruption left undone :func:`resume_folds` finishes.
    """
    chosen = validated(TrainSettings, {"data": data, "model": model, "folds": folds, **settings})
    return begin_folds(chosen, out, display)


def begin_folds(settings: TrainSettings, out: str | Path | None = None, display: Display | None = None) -> CrossValidation:
    """Train ``settings.folds`` runs, each validated on the part that it leaves out, in a new folder."""
    if settings.folds is None:
        raise UsageError("Cross-validation needs the number of parts. Mend: folds=5")
    if settings.fold is not None:
        raise UsageError(
            f"Cross-validation trains all folds, and fold={settings.fold} is one. Mend: leave it out; swinkit.train.fit trains one"
        )
    display = display or Unheard()
    check_place(settings, Path(out) if out is not None else None)
    check_folds(settings, display)
    settings = settings.model_copy(update=places(settings))  # whoever goes on may do so from elsewhere
    name = f"{Path(settings.data or '').name}-folds"
    folder = claim(Path(out)) if out is not None else first_free(RUNS / "classify", name)
    write_json(folder / FOLDS, {"settings": settings.model_dump(mode="json"), "done": []})
    return resume_folds(folder, display=display)


def check_folds(settings: TrainSettings, display: Display) -> None:
    """Raises what parting the pictures of ``settings`` would, while no folder is taken yet and no fold has been trained."""
    recipe = recipe_of(settings.task)
    try:
        collection = recipe.open(settings, display.checked)
        # each fold says what is found
        findings = checked(settings, collection, lambda _: None, display.checked)
    finally:
        display.end()
    recipe.part(settings, collection, findings, lambda _: None)


def resume_folds(
    folder: str | Path, changes: Mapping[str, Any] | None = None, display: Display | None = None
) -> CrossValidation:
    """Finish the folds in ``folder`` that are not done: what stopped goes on exactly, the others begin; ``changes`` as for
    :func:`~.session.resume`.

    A fold that a time limit ends is measured as it is, and not done.
    """
    folder, display, changes = Path(folder), display or Unheard(), changes or {}
    if not (folder / FOLDS).is_file():
        raise UsageError(f"{folder} is no cross-validation: it has no {FOLDS}. Mend: of a run, swinkit.train.resume")
    record = read_record(folder, FOLDS)
    settings = unchanged(validated(TrainSettings, record["settings"]), changes)
    record["settings"] |= kept(settings)
    write_json(folder / FOLDS, record)
    free, done = {name: value for name, value in changes.items() if name in FREE}, record["done"]
    for number in range(settings.folds or 0):
        if number < len(done) and is_finished(done[number]):
            continue
        display.say(f"Fold {number + 1} of {settings.folds}")
        path = folder / f"fold-{number + 1}"
        begun = (path / CONFIG).exists()
        result = resume(path, free, display) if begun else begin(settings.model_copy(update={"fold": number}), path, display)
        done[number : number + 1] = [result.to_dict()]
        write_json(folder / FOLDS, record)
    answer = CrossValidation(folder, tuple(done))
    if left := answer.unfinished:
        display.say(f"{counted(left, 'fold')} stopped before the end. Go on with: swinkit train --resume {folder}")
    return answer


def is_finished(fold: Mapping[str, Any]) -> bool:
    """Whether a run with this result is done; versions that did not say so had nothing but time limits to stop for."""
    return fold.get("finished", not fold.get("stopped"))
