"""k-fold cross-validation, for sets so small that one validation part says little: k runs that each keep another part aside."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Interrupted, UsageError
from ..weights.atomic import write_json
from .place import RUNS, check_place, claim, first_free
from .prepare import anchored
from .session import begin, resume
from .settings import TrainSettings
from .watch import Display

RECORD = "folds.json"  # settings, and the result of each fold that is done


@dataclass(frozen=True)
class CrossValidation:
    """``folds`` are the results of the k runs in ``path``/fold-1, …, as :class:`RunResult` turned into dictionaries."""

    path: Path
    folds: tuple[Mapping[str, Any], ...]

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


def cross_validate(settings: TrainSettings, out: str | Path | None = None, display: Display | None = None) -> CrossValidation:
    """Train ``settings.folds`` runs, each validated on the part that it leaves out, in a new folder."""
    if settings.folds is None:
        raise UsageError("Cross-validation needs the number of parts. Mend: folds=5")
    check_place(settings, Path(out) if out is not None else None)
    data = anchored(settings.data or "")
    folder = claim(Path(out)) if out is not None else first_free(RUNS / "classify", f"{Path(data).name}-folds")
    settings = settings.model_copy(update={"data": data})  # whoever goes on may do so from elsewhere
    write_json(folder / RECORD, {"settings": settings.model_dump(mode="json"), "done": []})
    return go_on(folder, display)


def go_on(folder: str | Path, display: Display | None = None) -> CrossValidation:
    """Finish the folds that are missing in ``folder``: the interrupted one goes on exactly, the others begin."""
    folder, display = Path(folder), display or Display(quiet=True)
    record = json.loads((folder / RECORD).read_text("utf-8"))
    settings = TrainSettings.model_validate(record["settings"])
    for number in range(len(record["done"]), settings.folds or 0):
        display.say(f"Fold {number + 1} of {settings.folds}")
        path = folder / f"fold-{number + 1}"
        try:
            begun = (path / "config.yaml").exists()
            result = resume(path, {}, display) if begun else begin(settings.model_copy(update={"fold": number}), path, display)
        except Interrupted as stop:
            raise Interrupted(
                f"{stop}\nThe folds done so far are kept. Go on with all: swinkit train --resume {folder}"
            ) from None
        record["done"].append(result.to_dict())
        write_json(folder / RECORD, record)
    return CrossValidation(folder, tuple(record["done"]))
