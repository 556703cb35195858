import json
import os
import shutil
import signal
import threading

import pytest

from swinkit.errors import Interrupted
from swinkit.tasks.classification import ClassificationMeter
from swinkit.tasks.probing import Probe
from swinkit.train import fit, pretrain, resume
from swinkit.train.interrupt import Interruption
from swinkit.train.run import RunFolder
from swinkit.weights.files import read_model
from swinkit.weights.saved import weights_digest

from .pictures import OPTIONS, TINY, scatter, write_pictures
from .running import logged

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows delivers no signals to oneself")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_sets_the_request_and_raises_nothing(number):
    with Interruption() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.name == number.name


def test_second_signal_changes_nothing_and_says_so(capfd):
    with Interruption() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.name == "SIGTERM"
    assert "Already saving" in capfd.readouterr().err


def test_former_handlers_come_back_even_after_an_error():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(RuntimeError), Interruption():
        raise RuntimeError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_it_is_inert():
    seen = []

    def work():
        with Interruption() as stop:
            seen.append((stop.requested, stop.name))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, "")]


@pytest.mark.parametrize("number", [1, 3, 4], ids=["first", "last", "final"])
def test_a_signal_cuts_an_evaluation_short_and_the_run_ends_as_if_there_had_been_none(number, tmp_path, monkeypatch):
    """Of one after each of three epochs, and one of the weights that are kept."""
    data, settings = write_pictures(tmp_path / "rows", count=96), {**TINY, "val": 0.4}
    whole = fit(data, out=tmp_path / "whole", **settings)
    update, looks = ClassificationMeter.update, {}  # pictures by meter, of which each evaluation has its own

    def signalled(self, model, batch):
        looks[self] = looks.get(self, 0) + len(batch)
        update(self, model, batch)
        if len(looks) == number:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(ClassificationMeter, "update", signalled)
        with pytest.raises(Interrupted, match=f"step {min(number, 3) * whole.step // 3} of {whole.step}: SIGTERM.*--resume"):
            fit(data, out=tmp_path / "parts", **settings)
    pictures = len(json.loads((whole.path / "data.json").read_text())["split"]["val"])
    assert list(looks.values()) == [pictures] * (number - 1) + [TINY["batch_size"]] != [pictures] * number
    shutil.copytree(tmp_path / "parts", tmp_path / "again")
    parts = resume(tmp_path / "parts")
    assert (parts.sha256, parts.validation) == (whole.sha256, whole.validation)
    assert logged(parts.path) == logged(whole.path)
    # killed behind the evaluation and before the next checkpoint: the row is there already
    shutil.copy(parts.path / "metrics.csv", tmp_path / "again")
    assert logged(resume(tmp_path / "again").path) == logged(whole.path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_step_ends_a_run_that_says_how_it_goes_on(number, tmp_path, monkeypatch):
    data, create = write_pictures(tmp_path / "rows"), RunFolder.save_config

    def signalled(self, config):
        create(self, config)
        signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save_config", signalled)
        with pytest.raises(Interrupted, match=rf"step 1 of 15: {number.name}.*--resume {tmp_path / 'run'}"):
            fit(data, out=tmp_path / "run", **TINY)
    assert resume(tmp_path / "run").step == 15


@pytest.mark.parametrize("number", [1, 2], ids=["first", "last"])
def test_a_signal_cuts_a_look_at_labelled_pictures_short(number, tmp_path, monkeypatch):
    """Neither figures nor the row of that epoch are kept, and whoever resumes looks again: the tables are those of an undisturbed run."""
    labelled = write_pictures(tmp_path / "few")
    data, settings = scatter(tmp_path / "photos"), {**OPTIONS, "epochs": 2, "probe_every": 1, "verdict": False}
    whole = pretrain(data, out=tmp_path / "whole", probe=labelled, **settings)
    measure, looks, measured = Probe.measure, [], []

    def signalled(self, *args, **kwargs):
        looks.append(self)
        if len(looks) == number:
            signal.raise_signal(signal.SIGTERM)
        measured.append(measure(self, *args, **kwargs))
        return measured[-1]

    with monkeypatch.context() as patched:
        patched.setattr(Probe, "measure", signalled)
        with pytest.raises(Interrupted, match="SIGTERM"):
            pretrain(data, out=tmp_path / "parts", probe=labelled, **settings)
    assert (len(looks), len(measured)) == (number, number - 1)
    parts = resume(tmp_path / "parts")
    digests = [weights_digest(read_model(run.path / "model").state) for run in (parts, whole)]
    assert digests[0] == digests[1]
    assert logged(parts.path) == logged(whole.path)
    assert (parts.path / "payoff.csv").read_text() == (whole.path / "payoff.csv").read_text()
