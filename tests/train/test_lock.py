import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from swinkit.errors import UsageError
from swinkit.train import lock as module
from swinkit.train.lock import RunLock

HOLD = """
import os, sys, time
from pathlib import Path
from swinkit.train.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
child = os.fork() if "fork" in sys.argv else 1
if child:
    print(child, flush=True)
time.sleep(60)
"""


def hold(path, *how):
    """A process that holds the lock, and the id of its forked child (1 if it has none)."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), *how], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def test_held_lock_is_refused_to_the_same_process_and_free_after_release(tmp_path):
    lock = RunLock(tmp_path / ".lock")
    with pytest.raises(UsageError, match="in use by this process"):
        RunLock(tmp_path / ".lock")
    lock.release()
    lock.release()
    again = RunLock(tmp_path / ".lock")
    assert again.note == ""
    again.release()


def test_held_lock_names_its_holder_to_another_process(tmp_path):
    process, _ = hold(tmp_path / ".lock")
    try:
        for _ in range(2):  # looking does not release it
            with pytest.raises(UsageError, match=rf"in use by process {process.pid} on .* since .*--out"):
                RunLock(tmp_path / ".lock")
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_lock_of_a_killed_process_is_released_with_a_note(tmp_path):
    process, _ = hold(tmp_path / ".lock")
    process.send_signal(signal.SIGKILL)
    process.wait()
    lock = RunLock(tmp_path / ".lock")
    assert f"process {process.pid}" in lock.note
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / ".lock").read_text() == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_forked_worker_that_outlives_its_parent_does_not_keep_the_lock(tmp_path):
    process, worker = hold(tmp_path / ".lock", "fork")
    try:
        process.kill()
        process.wait()
        lock = RunLock(tmp_path / ".lock")
        os.kill(worker, 0)  # the worker is still there
        assert str(process.pid) in lock.note
        lock.release()
    finally:
        os.kill(worker, signal.SIGKILL)


def refusing(monkeypatch, code):
    def refuse(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "_take", refuse)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_told_of_and_no_obstacle(tmp_path, monkeypatch, code):
    refusing(monkeypatch, code)
    lock = RunLock(tmp_path / ".lock")
    assert f"has no locks ({os.strerror(code)})" in lock.note
    with pytest.raises(UsageError, match="in use by this process"):
        RunLock(tmp_path / ".lock")
    lock.release()


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EACCES])
def test_either_word_of_the_system_for_a_held_lock_is_a_conflict(tmp_path, monkeypatch, code):
    refusing(monkeypatch, code)
    with pytest.raises(UsageError, match="in use by another process"):
        RunLock(tmp_path / ".lock")


def test_unreadable_note_of_a_former_holder_is_no_obstacle(tmp_path):
    (tmp_path / ".lock").write_bytes(b"\x00\xff")
    lock = RunLock(tmp_path / ".lock")
    assert "another process" in lock.note
    lock.release()
