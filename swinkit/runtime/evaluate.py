"""A model's answers on labelled pictures, gathered into an :class:`~swinkit.tasks.evaluation.Evaluation`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.collection import Collection, shown
from ..data.loader import eval_batches
from ..data.transforms import evaluation
from ..data.workers import explained_workers
from ..errors import DataError, SwinkitError
from ..tasks.evaluation import Evaluation, MultiLabel, SingleLabel
from ..weights.attached import attached


def evaluate(
    model: Any, collection: Collection, indices: Sequence[int] | None = None, *, batch_size: int = 64,
    workers: int = 0, progress: Callable[[int, int], Any] | None = None,
) -> Evaluation:  # fmt: skip
    """Judge ``model``, as :func:`swinkit.load` returns it, on the pictures ``indices`` of ``collection`` (default: all).

    The model stays on its device and is set to evaluation. Classes are matched by name, so data may have them in another
    order, or fewer. Logits are divided by the temperature that the model carries, so that what is judged is what
    :class:`~swinkit.Predictor` answers in float32. Unlabelled pictures are left out. ``progress(done, total)`` is told after each batch. Raises
    :class:`DataError` for labels that the model does not know or has twice, and for a picture that cannot be read; :class:`SwinkitError` where an
    answer is not finite.
    """
    places = match_classes(tuple(model.classes), collection)
    several = bool(model.multi_label)
    chosen = [index for index in indices if _labelled(collection, index)] if indices is not None else labelled(collection)
    if not chosen:
        raise DataError(f"{collection.root}: none of the chosen pictures has a label, so nothing can be judged")
    transform = evaluation(model.preprocessing)
    device = next(model.parameters()).device
    temperature = attached(model).temperature
    logits: list[Tensor] = []
    model.eval()
    with torch.inference_mode(), explained_workers():
        for batch in eval_batches(collection, chosen, transform, batch_size, workers):
            logits.append(model(batch.images.to(device)).float().cpu() / temperature)
            if progress is not None:
                progress(min(len(chosen), len(logits) * batch_size), len(chosen))
    answers, sources = torch.cat(logits).numpy(), [collection.samples[index].source for index in chosen]
    _check_finite(answers, sources)
    truth = _truth(collection, chosen, places, len(model.classes) if several else None)
    kind = MultiLabel if several else SingleLabel
    return kind(tuple(model.classes), answers, truth, np.array(chosen), sources)


def _check_finite(answers: np.ndarray, sources: Sequence[str]) -> None:
    broken = np.flatnonzero(~np.isfinite(answers).all(axis=1))
    if broken.size:
        raise SwinkitError(
            f"The model's answer is not finite for {broken.size} of {len(answers)} pictures, {shown(sources[broken[0]])} for one: there is nothing to "
            "judge. Mend: if it was trained here, train it anew with a lower learning rate (--set lr=…)"
        )


def labelled(collection: Collection) -> list[int]:
    """Indices of the pictures that can be judged; with several labels a picture may rightly have none."""
    return [index for index in range(len(collection)) if _labelled(collection, index)]


def _labelled(collection: Collection, index: int) -> bool:
    return collection.multi_label or bool(collection.samples[index].labels)


def match_classes(classes: tuple[str, ...], collection: Collection) -> np.ndarray:
    """For each class of ``collection`` its place in the model's ``classes``; raises :class:`DataError` for one it lacks, or has twice.

    Where both name the same in the same order nothing is matched, so that two classes may have one name, as ImageNet's cranes.
    """
    if collection.classes == classes:
        return np.arange(len(classes))
    count = Counter(classes)
    unknown = [name for name in collection.classes if name not in count]
    if unknown:
        raise DataError(
            f"{collection.root} has classes that the model does not know: {_list(unknown)}. It knows: {_list(classes)}. "
            "Mend: rename or leave out those folders or labels, or train on this data"
        )
    twice = [name for name in collection.classes if count[name] > 1]
    if twice:
        raise DataError(
            f"{collection.root} has classes that are several outputs of the model: {_list(twice)}. Expected one output for each. "
            "Mend: give the outputs names that differ, by swinkit convert --class-names"
        )
    return np.array([classes.index(name) for name in collection.classes], dtype=np.int64)


def _truth(collection: Collection, chosen: Sequence[int], places: np.ndarray, columns: int | None) -> np.ndarray:
    """Labels in the model's classes: int (n,), or with ``columns`` bool (n, columns)."""
    if columns is None:
        if collection.multi_label:
            raise DataError(f"{collection.root} has several labels per picture, but the model was trained to choose one class")
        return places[collection.label_matrix(chosen)]
    truth = np.zeros((len(chosen), columns), dtype=bool)
    for row, index in enumerate(chosen):
        truth[row, places[list(collection.samples[index].labels)]] = True
    return truth


def _list(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
