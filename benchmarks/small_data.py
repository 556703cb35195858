"""Few labels: what `swinkit train` reaches without a flag, beside a support vector machine on the same pictures.

    python benchmarks/small_data.py [--seeds 3] [--only digits]

Fashion-MNIST with 30 pictures per class from nothing, judged on its 10,000 test pictures; digits with 20 per class from the
bundled weights, judged on all others. The support vector machine (scikit-learn, RBF kernel) sees raw pixels; its C and gamma
are chosen by five-fold cross-validation on the training pictures. Results go to benchmarks/results/small_data.json; what was
measured before of a case that is not asked for stays.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common.bars import marked
from common.measuring import Results, Table, listed, options
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from swinkit.data.collection import Collection
from swinkit.data.layouts import open_data
from swinkit.data.split import Split
from swinkit.train import fit


class Case(NamedTuple):
    name: str
    model: str
    per_class: int
    bar: float


CASES = {
    "fashion": Case("fashion, 30 per class, from nothing", "auto", 30, 0.68),
    "digits": Case("digits, 20 per class, from the bundled weights", "swin_nano.fashion_mnist", 20, 0.90),
}


def support_vectors(collection: Collection, split: Split) -> float:
    """Top-1 of the support vector machine on the test pictures of ``split``."""

    def arrays(indices: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.stack([collection.read(index).reshape(-1) for index in indices])
        return pictures / 255.0, collection.label_matrix(np.array(indices))

    grid = {"svc__C": [1, 10, 100], "svc__gamma": [1e-4, 3e-4, 1e-3, 3e-3, "scale"]}
    machine = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=5)
    return float(machine.fit(*arrays(split.train)).score(*arrays(split.test)))


def measure(data: str, seed: int, **settings: Any) -> dict[str, Any]:
    """One run of the case of ``data``; ``settings`` are those of training that are not as they come."""
    case = CASES[data]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        given = {"per_class": case.per_class, "seed": seed, "tensorboard": False, **settings}
        run = fit(data, case.model, Path(folder) / "run", **given)
        seconds = time.perf_counter() - begun
        split = Split.from_dict(json.loads((run.path / "data.json").read_text(encoding="utf-8"))["split"])
    assert run.test is not None
    return {
        "case": case.name, "seed": seed, "pictures": len(split.train), "test_pictures": len(split.test), "bar": case.bar,
        "top1": run.test["top1"], "support_vectors": support_vectors(open_data(data), split), "seconds": round(seconds),
    }  # fmt: skip


def spread(shares: Sequence[float]) -> str:
    """The lowest to the highest of ``shares``, in per cent."""
    low, high = (f"{100 * end:.1f}" for end in (min(shares), max(shares)))
    return f"{low}%" if low == high else f"{low} to {high}%"


def row(name: str, runs: list[dict[str, Any]]) -> list[str]:
    ours, theirs = (spread([run[key] for run in runs]) for key in ("top1", "support_vectors"))
    bar = runs[0]["bar"]
    wanted = marked(f"≥ {bar:.0%}", min(run["top1"] for run in runs) >= bar)
    return [name, f"{runs[0]['test_pictures']:,}", str(len(runs)), ours, wanted, theirs]


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("few labels", "test pictures", "seeds", "swinkit", "bar", "support vector machine")
    names = dict.fromkeys(case["case"] for case in cases)
    rows = [row(name, [case for case in cases if case["case"] == name]) for name in names]
    return Table(columns, rows, ["Share of right answers, from the lowest to the highest of the seeds."])


def main() -> None:
    chosen = options(__file__, __doc__, seeds=3, only=",".join(CASES))
    wanted = ["digits"] if chosen.quick else listed(chosen.only, CASES)
    results = Results(__file__, chosen.out, table, chosen.said)
    results.keep(lambda run: run["case"] not in [CASES[data].name for data in wanted])
    for data in wanted:
        for seed in range(1 if chosen.quick else chosen.seeds):
            results.add(measure(data, seed, **({"epochs": 1} if chosen.quick else {})))
    results.finish()


if __name__ == "__main__":
    main()
