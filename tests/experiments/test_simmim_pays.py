"""The experiments on pre-training in tiny form: every arm, claims judged, and a killed one that goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from experiments import cells, mechanism, simmim_pays, sparse
from experiments.arms import Plan, labelled

from ..train.pictures import write_idx

TINY = Plan(
    epochs=1,
    labels=(20, 40),
    few_budgets=(1,),
    few_tuned=(1,),
    more_budgets=(1,),
    more_tuned=(1,),
    seeds=2,
    pictures=200,
    held=50,
    test=50,
)


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A folder in the place of the full set, with 200 pictures of noise, 50 for the test."""
    chance = np.random.default_rng(0)
    for name, count in (("train", 200), ("t10k", 50)):
        write_idx(tmp_path / "idx" / f"{name}-images-idx3-ubyte.gz", chance.integers(0, 256, (count, 28, 28), np.uint8))
        write_idx(tmp_path / "idx" / f"{name}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    monkeypatch.setenv("SWINKIT_FASHION", str(tmp_path / "idx"))
    mechanism.fashion.cache_clear()
    yield
    mechanism.fashion.cache_clear()


def test_it_runs_goes_on_where_it_was_killed_and_judges(fashion, tmp_path, monkeypatch):
    threads = torch.get_num_threads()
    tuned, run, calls = cells.tuned, simmim_pays.run, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return tuned(*arguments)

    monkeypatch.setattr(cells, "tuned", killed)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, tmp_path, tmp_path / "runs")
    kept = json.loads((tmp_path / "runs" / "cells" / "faithful-V1.json").read_text())
    stored, begun = kept["cells"], kept["begun"]
    assert not (tmp_path / "simmim_pays.json").exists()
    result = run(TINY, tmp_path, tmp_path / "runs")
    assert json.loads((tmp_path / "simmim_pays.json").read_text())["claims"] == result["claims"]
    assert len(calls) == 1 + (4 + 4) * 2  # arms with few and with more labels, two seeds each, and the killed one again
    assert all(result["cells"][name] == value for name, value in stored.items())
    assert result["command"] == "python -m experiments.simmim_pays --epochs 1 --seeds 2"
    assert [name for name, cell in result["cells"].items() if cell["processor_seconds"] is None] == [begun]
    assert len(result["claims"]) == 2 * 2 + 2
    assert {cell["value"]["epochs"] for name, cell in result["cells"].items() if name.startswith("encoder: faithful")} == {1}
    both = sparse.run(TINY, tmp_path, tmp_path / "runs")
    assert len(calls) == 1 + (4 + 4 + 2) * 2  # the faithful arm is known
    assert len(both["claims"]) == 2
    assert set(both["cells"]) & set(result["cells"]) == {
        name for name in result["cells"] if "V1" in name and "nothing" not in name
    }
    with pytest.raises(SystemExit, match="another plan"):
        run(Plan(**{**vars(TINY), "epochs": 2}), tmp_path, tmp_path / "runs")
    torch.set_num_threads(threads)


def test_labels_are_drawn_evenly_and_by_seed(fashion):
    first, second = labelled(20, 0, TINY), labelled(20, 1, TINY)
    assert first == labelled(20, 0, TINY) != second
    assert np.bincount(mechanism.fashion().label_matrix(first)).tolist() == [2] * 10
