"""Faults 2, 8, 9, 12 and 15 of docs/faults.md, at the run folder; the crash campaign (1, 11) is test_crash.py."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from swinkit.errors import UsageError
from swinkit.train.checkpoint import CheckpointStore
from swinkit.train.run import RunFolder
from swinkit.weights.atomic import TEMPORARY, sha256_of

ROOT = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

STORE = """
import signal, sys, torch
from swinkit.errors import SwinkitError
from swinkit.train.checkpoint import CheckpointStore
store = CheckpointStore(sys.argv[1])
"""


def python(code, *arguments, wrap=()):
    """The outcome of ``code`` in a process of its own."""
    command = [*wrap, sys.executable, "-c", STORE + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


def hashes(folder):
    return {path.name: sha256_of(path) for path in folder.iterdir()}


SAVE_TOO_MUCH = """
try:
    store.save({"weights": torch.ones(2_000_000)}, 2)
except SwinkitError as fault:
    print(fault)
"""


@posix
def test_fault_02_file_size_limit_keeps_the_previous_checkpoint(tmp_path):
    CheckpointStore(tmp_path).save({"at": 1}, 1)
    before = hashes(tmp_path)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    outcome = python(limit + SAVE_TOO_MUCH, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "File too large. What was there before is unchanged. Mend: free space on" in outcome.stdout
    assert hashes(tmp_path) == before


def can_mount():
    """Whether a namespace of our own may hold a tiny disk; nothing is mounted outside it."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@posix
def test_fault_02_full_disk_keeps_the_previous_checkpoint(tmp_path):
    if not can_mount():
        pytest.skip("needs user namespaces to mount a tiny disk")
    tmp_path.joinpath("disk").mkdir()
    mount = f'mount -t tmpfs -o size=2m tmpfs {tmp_path}/disk && exec "$@"'
    wrap = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    outcome = python(
        """
        import os
        from swinkit.weights.atomic import sha256_of
        def hashes():
            return {entry: sha256_of(os.path.join(sys.argv[1], entry)) for entry in os.listdir(sys.argv[1])}
        store.save({"at": 1}, 1)
        before = hashes()
        """
        + textwrap.indent(SAVE_TOO_MUCH, " " * 8)
        + """
        assert hashes() == before, (hashes(), before)
        store.save({"at": 3}, 3)  # what fits is still taken
        print(store.newest_valid().step)
        """,
        tmp_path / "disk",
        wrap=wrap,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    assert "No space left on device" in outcome.stdout
    assert outcome.stdout.endswith("3\n")


LOOP = """
from swinkit.train.interrupt import Interruption
saved = 0
with Interruption() as stop:
    print("ready", flush=True)
    while not stop.requested:
        pass
    signal.raise_signal(signal.SIGTERM)
    for number in (1, 2, 3):  # again and again, before, within and after the save
        signal.raise_signal(signal.SIGINT)
    import swinkit.weights.atomic as atomic
    honest = atomic.sync
    def interrupted(file):
        signal.raise_signal(signal.SIGTERM)
        honest(file)
        signal.raise_signal(signal.SIGINT)
    atomic.sync = interrupted
    store.save({"weights": torch.ones(1000)}, 7)
    saved += 1
print(saved, stop.name)
"""


@posix
def test_fault_08_sigterm_again_during_the_save_saves_once_and_whole(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STORE + LOOP, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "1 SIGTERM\n"
    assert err.count("Already saving") == 8
    found = CheckpointStore(tmp_path).newest_valid()
    assert (found.step, float(found.state["weights"].sum())) == (7, 1000.0)


def test_fault_09_second_run_in_one_folder_is_refused(tmp_path):
    with RunFolder.create(tmp_path / "run", "x", {"lr": 1}, {}):
        code = f"""
        from swinkit.errors import UsageError
        from swinkit.train.run import RunFolder
        for begin in (lambda: RunFolder.resume({str(tmp_path / "run")!r}), lambda: RunFolder.create({str(tmp_path / "run")!r}, "x", {{}}, {{}})):
            try:
                begin()
            except UsageError as fault:
                print(fault)
        """
        outcome = python(code, tmp_path)
        lines = outcome.stdout.splitlines()
        assert f"is in use by process {os.getpid()} on" in lines[0], outcome
        assert "already exists, and nothing is ever overwritten" in lines[1]
        with pytest.raises(UsageError, match="in use by this process"):
            RunFolder.resume(tmp_path / "run")


@posix
def test_fault_09_lock_of_a_dead_run_is_released_and_said(tmp_path):
    code = f"""
    import os
    from swinkit.train.run import RunFolder
    run = RunFolder.create({str(tmp_path / "run")!r}, "x", {{"lr": 1}}, {{}})
    os.kill(os.getpid(), signal.SIGKILL)
    """
    assert python(code, tmp_path).returncode == -signal.SIGKILL
    with RunFolder.resume(tmp_path / "run") as run:
        assert run.config == {"lr": 1}
        assert "ended without releasing it" in run.notes[0]


@pytest.mark.parametrize("position", [0, 9, 100, 0.5, -1])
def test_fault_12_flipped_bit_in_the_newest_checkpoint_falls_back_and_says_so(tmp_path, position):
    import torch

    store = CheckpointStore(tmp_path)
    for step in (10, 20):
        store.save({"weights": torch.full((1000,), float(step))}, step)
    newest = next(tmp_path.glob("step_0000000020.*.safetensors"))
    content = bytearray(newest.read_bytes())
    content[int(len(content) * position) if isinstance(position, float) else position] ^= 1
    newest.write_bytes(content)
    found = store.newest_valid()
    assert (found.step, float(found.state["weights"][0])) == (10, 10.0)
    assert len(found.notes) == 1
    assert "step_0000000020" in found.notes[0]
    assert "is damaged: expected SHA-256" in found.notes[0]


def test_fault_15_stale_temporaries_and_orphans_are_passed_over_and_swept(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save({"at": 1}, 1)
    (tmp_path / f"{TEMPORARY}0badcafe-step_0000000002.json").write_bytes(b'{"fi')
    (tmp_path / f"{TEMPORARY}0badcafe-step_0000000002.aa.safetensors").write_bytes(b"par")
    (tmp_path / "step_0000000002.aa.safetensors").write_bytes(b"whole, but its manifest never came")
    assert store.newest_valid() == ({"at": 1}, 1, [])
    store.save({"at": 3}, 3)
    assert sorted({path.name.split(".")[0] for path in tmp_path.iterdir()}) == ["step_0000000001", "step_0000000003"]


@pytest.mark.parametrize("missing", ["step_*20.json", "step_*20.*.safetensors"])
def test_fault_15_missing_part_of_the_newest_leaves_the_newest_valid(tmp_path, missing):
    store = CheckpointStore(tmp_path)
    for step in (10, 20):
        store.save({"at": step}, step)
    next(tmp_path.glob(missing)).unlink()
    assert store.newest_valid().step == 10
