"""Faults 1 and 11: every call of a save is the last one once; then the crash campaign, real runs killed and resumed.

Of its kills half come at random moments, half inside a save. After each kill the folder must hold a loadable checkpoint, none damaged, not older than before; the finished run must have the
weights of one that was never stopped. CI makes 5 kills over 2 runs, ``make soak`` (SWINKIT_SOAK=1) 50 over 10;
SWINKIT_CRASH_SEED picks others.
"""

import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest

from swinkit.errors import WeightsError
from swinkit.train.checkpoint import CheckpointStore
from swinkit.train.run import RunFolder, read_rows
from swinkit.weights import WEIGHTS
from swinkit.weights.files import read_model
from tests.train import crash

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL and a fork server")

KILLS, RUNS = (50, 10) if os.environ.get("SWINKIT_SOAK") else (5, 2)
SEED = int(os.environ.get("SWINKIT_CRASH_SEED", "0"))
MOMENTS = ("before", "within", "after")
DEADLINE = 300  # seconds for a process that should have ended


class Campaign:
    def __init__(self, folder):
        self.folder = folder
        self.data = crash.make_pictures(folder / "pictures")
        self.context = multiprocessing.get_context("forkserver")  # imports torch once for all the processes to be killed
        self.context.set_forkserver_preload(["tests.train.crash", "swinkit.train.session"])
        self.random = random.Random(SEED)

    def start(self, run, fatal=0, workers=0):
        arguments = (self.data, run, fatal, self.random.choice(MOMENTS), workers)
        process = self.context.Process(target=crash.train, args=arguments)
        process.start()
        return process

    def finish(self, run, workers=0):
        process = self.start(run, workers=workers)
        process.join(DEADLINE)
        assert process.exitcode == 0
        return outcome(run)

    def kill(self, run, inside):
        """Start or resume ``run`` and kill it; False if it came to its end before that."""
        process = self.start(run, fatal=self.random.randint(1, 60) if inside else 0)
        if not inside:
            while process.is_alive() and not at_work(run, process.pid):
                time.sleep(0.01)
            time.sleep(self.random.uniform(0, 1))
            process.kill()
        process.join(DEADLINE)
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0


def at_work(run, pid):
    """Whether process ``pid`` holds the run, and there is a checkpoint to lose."""
    lock = run / ".lock"
    held = lock.exists() and f'"pid": {pid},' in lock.read_text()
    return held and bool(CheckpointStore(run / "checkpoints").manifests())


def newest_step(run):
    """Step of the newest checkpoint, which must be whole, as must every other one and the model; None before the first."""
    store = CheckpointStore(run / "checkpoints")
    found = store.newest_valid()
    assert found is None or not found.notes
    for manifest in store.manifests():
        store._read(manifest)
    # the description is written first: of a run killed within its very first save of the model it is all there is
    if (run / "model" / WEIGHTS).exists():
        read_model(run)
    return found and found.step


def outcome(run):
    """Hash of the final weights, and what was measured at which step."""
    with RunFolder.resume(run) as folder:
        rows = read_rows(folder.path / "metrics.csv")
    measured = [(row["step"], *(value for key, value in row.items() if key.startswith("val_"))) for row in rows]
    return read_model(run).sha256, measured


def saved_and_killed(campaign, folder, moment, torn=False):
    """Step of the newest checkpoint and of the model after a save from step 2 to 3 that was killed at its call 1, 2, 3, …"""
    crash.save(folder / "whole", 1)
    crash.save(folder / "whole", 2)
    fatal, exitcode = 0, None
    while exitcode != 0:
        fatal += 1
        run = shutil.copytree(folder / "whole", folder / str(fatal))
        process = campaign.context.Process(target=crash.save, args=(run, 3, fatal, moment, torn))
        process.start()
        process.join(DEADLINE)
        exitcode = process.exitcode
        assert exitcode in (0, -signal.SIGKILL)
        yield newest_step(run), read_model(run).metadata["step"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_fault_01_every_call_of_a_save_may_be_the_last(campaign, tmp_path, moment):
    steps = list(saved_and_killed(campaign, tmp_path, moment))
    assert steps == sorted(steps)
    assert {*steps} == {(2, 2), (3, 2), (3, 3)}


def test_a_rename_that_can_be_cut_short_is_noticed(campaign, tmp_path):
    with pytest.raises((AssertionError, WeightsError)):
        list(saved_and_killed(campaign, tmp_path, "within", torn=True))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return Campaign(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="module")
def uninterrupted(campaign):
    return campaign.finish(campaign.folder / "uninterrupted")


@pytest.mark.timeout(3600)
def test_fault_01_and_fault_11_killed_runs_stay_loadable_and_end_with_the_same_weights(campaign, uninterrupted):
    kills, number = {True: 0, False: 0}, 0
    while number < RUNS or (
        sum(kills.values()) < KILLS and number < 2 * RUNS
    ):  # more, where some ended before they were killed
        run = campaign.folder / f"killed-{number}"
        last = 0
        while sum(kills.values()) < min(KILLS, KILLS * (number + 1) // RUNS):
            inside = kills[True] <= kills[False]
            if not campaign.kill(run, inside):
                break
            kills[inside] += 1
            step = newest_step(run)
            assert step is not None
            assert step >= last
            last = step
        assert campaign.finish(run, workers=number % 2) == uninterrupted, f"run {number} of seed {SEED}"
        number += 1
    assert sum(kills.values()) == KILLS, f"{kills}: runs ended before they were killed; lengthen them"
