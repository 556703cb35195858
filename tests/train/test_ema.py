import pytest
import torch
from torch import nn

from swinkit.train.ema import WeightAverage


def test_the_decay_warms_up_so_that_a_short_run_forgets_its_beginning():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average = WeightAverage(model, decay=0.9999)
    nn.init.constant_(model.weight, 1.0)
    for _ in range(100):
        average.update(model)
    assert average.model.weight.item() > 0.99  # a constant decay of 0.9999 would be at 0.01


def test_one_update_is_the_weighted_mean():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    average = WeightAverage(model, decay=0.5)
    average.updates = 1000
    nn.init.constant_(model.weight, 4.0)
    average.update(model)
    assert average.model.weight.item() == pytest.approx(3.0)


def test_decay_zero_keeps_the_last_weights_and_buffers():
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, decay=0.0)
    model(torch.randn(8, 2))
    nn.init.constant_(model.weight, 7.0)
    average.update(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, average.model.state_dict()[name])


def test_its_state_returns_exactly():
    model = nn.Linear(3, 2)
    average, other = WeightAverage(model, 0.9), WeightAverage(nn.Linear(3, 2), 0.9)
    average.update(nn.Linear(3, 2))
    other.load_state_dict(average.state_dict())
    assert other.updates == 1
    assert torch.equal(other.model.weight, average.model.weight)
