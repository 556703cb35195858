"""Predictors that are copied, carried to another process, or inherited by one."""

import copy
import os
import pickle
import subprocess

import pytest
import torch

from swinkit.interpreter import python
from swinkit.runtime.predictor import Predictor

from .pictures import SIDE, picture


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copied", "pickled"])
def test_a_predictor_goes_elsewhere_with_its_model_and_builds_its_engine_there(model_folder, carried):
    first = Predictor(model_folder, image_size=2 * SIDE, batch_size=2)
    expected = first(picture(3))
    second = carried(first)
    assert (second.fingerprint(), second.batch_size) == (first.fingerprint(), 2)
    assert second.preprocessing.size == (2 * SIDE, 2 * SIDE)
    assert second(picture(3)) == expected
    first.batch_size, first.note = 3, "mine"
    assert (carried(first).batch_size, carried(first).note) == (3, "mine")
    changed = carried(first)
    with torch.no_grad():
        changed.model.head.bias[0] += 5
    assert changed(picture(3)).probabilities != expected.probabilities
    assert first(picture(3)) == expected


def test_a_class_of_ones_own_on_a_predictor_is_copied_as_it_is(model_folder):
    class Mine(Predictor):
        def __init__(self, title, model):
            super().__init__(model)
            self.title = title

    mine = copy.deepcopy(Mine("shoes", model_folder))
    assert mine.title == "shoes"
    assert mine(picture(3)) == Predictor(model_folder)(picture(3))


FORKED = """
import os, sys, time
import numpy as np
import torch
from swinkit.runtime.predictor import Predictor

pictures = list(np.random.default_rng(0).integers(0, 256, (32, 64, 64, 3), dtype=np.uint8))
predictors = [Predictor(sys.argv[1], engine=engine, precision="float32") for engine in ("native", "eager", "eager")]
predictors[2]._by_engine = False
expected = [[answer.label for answer in predictor(pictures)] for predictor in predictors]
assert torch.get_num_threads() == 2
for predictor, labels in zip(predictors, expected):
    child = os.fork()
    if not child:
        os._exit([answer.label for answer in predictor(pictures)] != labels)
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        sys.exit("the forked process hangs")
    assert not status
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_predictors_that_have_answered_answer_in_a_forked_process(model_folder):
    """OpenMP's threads stay behind, and were waited for forever."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = python(FORKED, str(model_folder))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
