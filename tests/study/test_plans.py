"""What ``bench`` is asked for becomes ways that take turns; a training step is one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import swinkit
from swinkit.cli.main import run
from swinkit.cli.pages.tables import SPEED, speed_table
from swinkit.errors import UsageError
from swinkit.study import plans
from swinkit.study.training import stepping
from swinkit.tasks import described

MODEL = "swin_nano.fashion_mnist"


def test_training_steps_are_measured_and_count_no_macs(capsys):
    words = ["--train", "--threads", "1", "--batch-size", "2", "--precision", "float32", "--rounds", "1", "--json", "-q"]
    assert run(["bench", MODEL, *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["step"], result["environment"]["processor"]["threads"]) == ("training", "1")
    assert [row["engine"] for row in result["rows"]] == ["native", "plain"]
    for row in result["rows"]:
        assert row["latency_seconds"]["value"] > 0
        assert not {"macs_per_second", "share_of_floor"} & set(row)
        assert speed_table([row]).rows[0][SPEED.index("GMAC/s")] == "–"


@pytest.mark.parametrize("native", [True, False])
def test_a_step_learns(native):
    network = swinkit.load(MODEL)
    before = network.head.weight.detach().clone()
    stepping(network, 2, (28, 28), "float32", native).step(0)
    assert network.training
    assert (network.head.weight - before).abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_threads_are_everybodys():
    plan = plans.plan_inference(MODEL, ["plain"], [], ["float32"], True, 3)
    candidates = plan.candidates(plans.Case("float32", 1, (28, 28)), plan.ways)
    assert [one.name for one in candidates] == ["plain", plans.FLOOR]
    assert [one.environment["OMP_NUM_THREADS"] for one in candidates] == ["3", "3"]
    assert candidates[-1].environment.keys() > {"OMP_NUM_THREADS"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--train", "--engine", "openvino"], "A training step is computed by native or plain, not by openvino"),
        (["--engine", "torch"], "torch runs what `swinkit export --to torch` wrote"),
        (["--json", "--markdown"], "two forms of one result"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, message, capsys):
    assert run(["bench", "swin_nano", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_network_without_classes_learns_none(tmp_path: Path):
    encoder = swinkit.create_model("swin_nano", num_classes=0, in_channels=1)
    swinkit.save(described(encoder, (), swinkit.load(MODEL).preprocessing), tmp_path / "encoder")
    with pytest.raises(UsageError, match="has no classes to learn"):
        plans.plan_training(str(tmp_path / "encoder"), [], [], None)
