"""Whole processes, killed and interrupted as a machine would do it."""

import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import redirect_stderr

import pytest

import swinkit
from swinkit.cli.main import main
from swinkit.train import fit, resume
from swinkit.weights.saved import weights_digest

from .pictures import TINY, write_pictures

REPEATS = 10 if os.environ.get("SWINKIT_SOAK") else 2
KILLS = 4 if os.environ.get("SWINKIT_SOAK") else 1
# so often that half of the time goes into saving; 60 steps, of which the kills leave the second half
SETTINGS = {**TINY, "epochs": 12, "save_every": 1e-5}
LAST_KILL = 30

processes = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")  # a fork need not import torch again
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signal")


def start(target, *arguments):
    process = processes.Process(target=target, args=arguments)
    process.start()
    return process


def train(data, run):
    fit(data, out=run, **SETTINGS)


def call(run, *words):
    with open(run.with_suffix(".err"), "w", buffering=1) as stream, redirect_stderr(stream):
        main(["train", *map(str, words)])


def wait_for_checkpoint(run, process, step=1):
    """Until there is one of ``step`` or later."""
    while max((int(path.stem.removeprefix("step_")) for path in run.glob("checkpoints/step_*.json")), default=0) < step:
        assert process.is_alive()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("kills") / "stripes")


@pytest.fixture(scope="module")
def uninterrupted(data):
    return fit(data, out=data.parent / "whole", **SETTINGS).sha256


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_fault_11_a_killed_run_resumed_ends_with_the_same_weights(repeat, data, uninterrupted):
    run, chance = data.parent / f"killed{repeat}", random.Random(repeat)
    process = start(train, data, run)
    for step in sorted(chance.sample(range(1, LAST_KILL), KILLS)):
        wait_for_checkpoint(run, process, step)
        # somewhere between two saves, or in one
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed; lengthen it"
        process = start(resume, run)
    process.join()
    assert process.exitcode == 0
    assert weights_digest(swinkit.load(run).state_dict()) == uninterrupted
    steps = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == [str(step) for step in range(5, 61, 5)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_prints_the_command_and_exits_130(number, data, tmp_path):
    run = tmp_path / "run"
    options = [f"--set={key}={value}" for key, value in {**SETTINGS, "epochs": 5000}.items()]
    process = start(call, run, data, "--out", run, *options)
    wait_for_checkpoint(run, process)
    os.kill(process.pid, number)
    process.join()
    errors = run.with_suffix(".err").read_text()
    assert process.exitcode == 130, errors
    assert f"swinkit train --resume {run}" in errors
    assert "Traceback" not in errors
