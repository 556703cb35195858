"""Few labels: what `swinkit train` reaches without a flag, beside a support vector machine on the same pictures.

    python benchmarks/small_data.py [--seeds 3] [--only digits]

Fashion-MNIST with 30 pictures per class from nothing, judged on its 10,000 test pictures; digits with 20 per class from the
bundled weights, judged on all others. The support vector machine (scikit-learn, RBF kernel) sees raw pixels; its C and gamma
are chosen by five-fold cross-validation on the training pictures. Results go to benchmarks/results/small_data.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from swinkit.data.collection import Collection
from swinkit.data.layouts import open_data
from swinkit.data.split import Split
from swinkit.train import fit

RESULTS = Path(__file__).with_name("results") / "small_data.json"


class Case(NamedTuple):
    name: str
    data: str
    model: str
    per_class: int
    bar: float


CASES = (
    Case("fashion, 30 per class, from nothing", "fashion", "auto", 30, 0.68),
    Case("digits, 20 per class, from the bundled weights", "digits", "swin_nano.fashion_mnist", 20, 0.90),
)


def support_vectors(collection: Collection, split: Split) -> float:
    """Top-1 of the support vector machine on the test pictures of ``split``."""

    def arrays(indices: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.stack([collection.read(index).reshape(-1) for index in indices])
        return pictures / 255.0, collection.label_matrix(np.array(indices))

    grid = {"svc__C": [1, 10, 100], "svc__gamma": [1e-4, 3e-4, 1e-3, 3e-3, "scale"]}
    machine = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=5)
    return float(machine.fit(*arrays(split.train)).score(*arrays(split.test)))


def measure(case: Case, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        run = fit(case.data, case.model, Path(folder) / "run", per_class=case.per_class, seed=seed, tensorboard=False)
        seconds = time.perf_counter() - begun
        split = Split.from_dict(json.loads((run.path / "data.json").read_text())["split"])
    assert run.test is not None
    return {
        "case": case.name, "seed": seed, "pictures": len(split.train), "test_pictures": len(split.test), "bar": case.bar,
        "top1": run.test["top1"], "support_vectors": support_vectors(open_data(case.data), split), "seconds": round(seconds),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each case (default: %(default)s)")
    parser.add_argument("--only", choices=[case.data for case in CASES], help="one case; results of the other are kept")
    given = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if given.only and RESULTS.exists() else []
    for case in [case for case in CASES if given.only in (None, case.data)]:
        rows = [row for row in rows if row["case"] != case.name]
        for seed in range(given.seeds):
            rows.append(row := measure(case, seed))
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
            print(
                f"{case.name}, seed {seed}: swinkit {row['top1']:.1%}, support vectors {row['support_vectors']:.1%} "
                f"(bar {case.bar:.0%}, {row['seconds']} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
