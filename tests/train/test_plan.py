import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from swinkit import memory
from swinkit.data.augment import Augmentation
from swinkit.data.collection import Collection
from swinkit.data.loader import Batch
from swinkit.kernels.accelerate import accelerate
from swinkit.machine import available_memory
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.timing import duration
from swinkit.train import plan
from swinkit.train.feed import Feed
from swinkit.train.plan import change_seconds, computes_bfloat16, epoch_seconds, published_weights, rehearse
from swinkit.train.settings import TrainSettings
from swinkit.variants import find


class Counting:
    """A task whose loss is a number times the size of the part."""

    def __init__(self, limit=None):
        self.limit, self.sizes = limit, []

    def mix(self, batch):
        return batch

    def loss(self, model, part):
        if self.limit and len(part) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        self.sizes.append(len(part))
        return model(part).mean() * torch.rand(())


def test_the_rehearsal_leaves_no_trace():
    model = torch.nn.Linear(3, 1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = torch.rand(8, 3)
    generator = torch.get_rng_state()
    rehearse(Counting(), model, batch, "32-true", 1)
    assert torch.equal(generator, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


def test_parts_shrink_until_memory_suffices():
    assert rehearse(Counting(limit=3), torch.nn.Linear(3, 1), torch.rand(8, 3), "32-true", 1).accumulate == 4


@pytest.mark.parametrize(("gigabytes", "parts"), [(None, 1), (1000, 1), (1.5, 2), (1e-9, 64)])
def test_parts_fit_into_the_memory_that_is_left(gigabytes, parts, monkeypatch):
    monkeypatch.setattr(plan, "available_memory", lambda: gigabytes and int(gigabytes * 1e9))
    wide = torch.nn.Sequential(torch.nn.Linear(3, 1_000_000), torch.nn.GELU(), torch.nn.Linear(1_000_000, 1))
    assert plan.parts_that_fit(Counting(), wide, torch.rand(64, 3)) == parts  # 4 MB a picture enter and 4 MB leave the GELU


def test_the_memory_that_is_left_is_known_on_linux():
    assert sys.platform != "linux" or 0 < available_memory() < 2**50


def test_the_batch_goes_where_the_network_is(monkeypatch):
    seen = []
    monkeypatch.setattr(
        plan, "pass_seconds", lambda task, model, batch, precision, parts: seen.append(batch.images.device.type) or 1.0
    )
    batch = Batch(torch.rand(2, 3, 4, 4), torch.tensor([0, 1]), torch.tensor([5, 7]))
    rehearse(Counting(), torch.nn.Linear(3, 1, device="meta"), batch, "32-true", 1)
    assert set(seen) == {"meta"}


@pytest.mark.parametrize(("half", "chosen"), [(0.5, "bf16-mixed"), (0.95, "32-true"), (2.0, "32-true")])
def test_bfloat16_only_where_it_is_clearly_faster(half, chosen, monkeypatch):
    monkeypatch.setattr(plan, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(
        plan, "pass_seconds", lambda task, model, batch, precision, parts: half if precision == "bf16-mixed" else 1.0
    )
    assert rehearse(Counting(), torch.nn.Linear(3, 1), torch.rand(8, 3), None, 1).precision == chosen


def test_another_job_during_the_first_measurements_does_not_decide(monkeypatch):
    """bfloat16 takes half the time, but not while something else ran."""
    taken = {"32-true": iter([1.0] * 5), "bf16-mixed": iter([0.9, 0.95, 0.5, 0.5, 0.5])}
    monkeypatch.setattr(plan, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(plan, "pass_seconds", lambda task, model, batch, precision, parts: next(taken[precision]))
    rehearsal = rehearse(Counting(), torch.nn.Linear(3, 1), torch.rand(8, 3), None, 1)
    assert (rehearsal.precision, rehearsal.seconds) == ("bf16-mixed", 0.5)
    assert next(taken["bf16-mixed"]) == 0.5  # a third turn was enough


def test_no_bfloat16_where_the_processor_emulates_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not computes_bfloat16(torch.device("cpu"))


def test_published_weights_are_named_for_photographs_alone():
    assert published_weights(28) is None
    assert published_weights(224) == "hf-hub:microsoft/swin-tiny-patch4-window7-224"


@pytest.mark.parametrize(
    ("workers", "batch", "expected"),
    [
        (0, 0.5, 10 * 1.6 + 2 * (1 / 3 + 0.5)),
        (2, 0.5, 10 * 1.1 + 2 * 0.5),
        (2, 3.0, 10 * 3.0 + 2 * 3.0),
    ],
)
def test_an_epoch_takes_what_is_slower_loading_or_computing(workers, batch, expected):
    pictures = Collection(Path(), "folders", "made here", ("a",), ())
    feed = Feed(pictures, range(85), range(9), Preprocessing(), Augmentation(), batch_size=8, seed=0, workers=workers)
    assert epoch_seconds(feed, gradient=1.0, change=0.1, batch=batch) == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimisers_are_timed_on_a_copy(optimizer):
    model = accelerate(SwinClassifier(find("swin_nano").config))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = TrainSettings(optimizer=optimizer, lr=1.0, layer_decay=1.0, weight_decay=0.5)
    assert 0 < change_seconds(model, settings) < 60
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_peak_is_that_of_this_process_and_not_of_its_parent(monkeypatch, tmp_path):
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 9000000 kB\nVmHWM:\t 1000000 kB\nVmRSS:\t 500000 kB\n")
    monkeypatch.setattr(memory, "STATUS", status)
    assert plan.peak_gigabytes(torch.device("cpu"), 10_000_000) == pytest.approx((1_000_000 * 1024 + 80_000_000) / 1e9)


def test_durations_read_well():
    assert [duration(seconds) for seconds in (0.06, 30, 744, 10800)] == ["1 s", "30 s", "12 min", "3.0 h"]


def test_a_plan_counts_in_words():
    one = plan.Plan("swin_nano", 700_000, (28, 28), 1, 1, 1, 1, "32-true", "cpu", 0.1, None)
    assert "1 picture, 1 epoch, 1 step of 1," in str(one)
    assert "2,000 pictures, 2 epochs, 30 steps of 1," in str(replace(one, pictures=2000, epochs=2, steps=30))


def test_a_plan_says_what_is_kept_of_the_pictures():
    one = plan.Plan("swin_nano", 700_000, (28, 28), 100, 1, 1, 1, "32-true", "cpu", 0.1, None)
    assert "decoded" not in str(one)
    assert "All pictures stay decoded in memory, in 1,250 MB more." in str(replace(one, kept=1.0, kept_gigabytes=1.25))
    assert "25% of the pictures stay decoded in memory, in 1 MB more." in str(replace(one, kept=0.25, kept_gigabytes=1e-6))
