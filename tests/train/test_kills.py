"""Whole processes, killed and interrupted as a machine would do it."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from .pictures import TINY, write_pictures

REPEATS = 10 if os.environ.get("SWINKIT_SOAK") else 2
OPTIONS = [f"--set={key}={json.dumps(value)}" for key, value in {**TINY, "epochs": 6, "save_every": 1e-5}.items()]


def swinkit(*words, **more):
    command = [sys.executable, "-m", "swinkit", "train", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def wait_for_checkpoint(run, process):
    while not list(run.glob("checkpoints/step_*.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("kills") / "stripes", count=96)


@pytest.fixture(scope="module")
def uninterrupted(data):
    out, errors = swinkit(data, "--json", *OPTIONS, "--out", data.parent / "whole").communicate(timeout=200)
    return json.loads(out or errors)["sha256"]


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_fault_11_a_killed_run_resumed_ends_with_the_same_weights(repeat, data, uninterrupted):
    run, chance = data.parent / f"killed{repeat}", random.Random(repeat)
    process = swinkit(data, *OPTIONS, "--out", run)
    wait_for_checkpoint(run, process)
    for _ in range(2):
        time.sleep(chance.uniform(0, 1.5))
        process.kill()
        process.communicate()
        process = swinkit("--resume", run, "--json")
        while process.poll() is None and "Going on" not in (run / "log.txt").read_text():
            time.sleep(0.02)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert json.loads(out)["sha256"] == uninterrupted
    steps = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert steps == sorted(set(steps), key=int)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send these signals to a process")
def test_a_signal_saves_prints_the_command_and_exits_130(number, data, tmp_path):
    run = tmp_path / "run"
    process = swinkit(data, *OPTIONS, "--epochs", "5000", "--out", run)
    wait_for_checkpoint(run, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert f"swinkit train --resume {run}" in errors
    assert "Traceback" not in errors
