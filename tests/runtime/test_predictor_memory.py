"""A picture that is too large for the network and this machine's memory loses its own answer only."""

from __future__ import annotations

import pytest
import torch

from swinkit.preprocessing import Preprocessing
from swinkit.runtime.predictor import Predictor
from tests.runtime.test_engines import model_of

REFUSAL = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"


@pytest.fixture
def predictor():
    model = model_of(1)
    model.classes, model.preprocessing = tuple("abcde"), Preprocessing(size=(32, 32), resize="none")
    return Predictor(model, batch_size=4, precision="float32")


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError(REFUSAL)])
def test_a_picture_for_which_the_memory_is_too_small_gets_that_as_its_reason(predictor, monkeypatch, fault):
    pictures = [torch.rand(3, 32, side) for side in (32, 40, 32, 40, 32)]
    expected = [answer.probabilities for answer in predictor(pictures)]
    compute = predictor._compute

    def cramped(batch):
        if len(batch) > 1 or batch.shape[3] == 40:
            raise fault
        return compute(batch)

    monkeypatch.setattr(predictor, "_compute", cramped)
    answers, lack = predictor(pictures), "not enough memory"
    assert [getattr(answer, "reason", None) for answer in answers] == [None, lack, None, lack, None]
    for place in (0, 2, 4):
        assert answers[place].probabilities == pytest.approx(expected[place], abs=1e-5)


@pytest.mark.parametrize("where", ["_compute", "_engine"])
def test_another_fault_and_a_model_for_which_it_is_too_small_are_raised(predictor, monkeypatch, where):
    fault = MemoryError() if where == "_engine" else RuntimeError("a fault of the network")

    def faulty(*given):
        raise fault

    monkeypatch.setattr(predictor, where, faulty)
    with pytest.raises(type(fault)):
        predictor([torch.rand(3, 32, 32)])
