import os
import threading
import time

import numpy as np
import pytest

from swinkit.data.arrays import Undecodable
from swinkit.data.decode import decode
from swinkit.errors import SwinkitError
from swinkit.runtime import isolation
from swinkit.runtime.isolation import Decoders

from .pictures import CONTENTS, bomb, encoded, picture

# a decoder that a file can crash, hang, or eat memory with
FRAGILE = """
import os, time
from swinkit.runtime import isolation
real = isolation.decode
def decode(path, channels):
    if "crash" in path.name: os.abort()
    if "leave" in path.name: os._exit(7)
    if "hang" in path.name:
        path.touch()
        time.sleep(60)
    if "speak" in path.name: os.write(1, b"spoken into the replies")
    return real(path, channels)
isolation.decode = decode
isolation.serve()
"""


@pytest.fixture
def fragile(monkeypatch):
    monkeypatch.setattr(isolation, "START", FRAGILE)


@pytest.fixture(scope="module")
def decoders():
    with Decoders() as decoders:
        yield decoders


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_the_same_array_as_in_this_process(decoders, tmp_path, kind, channels):
    path = tmp_path / "picture"
    path.write_bytes(encoded(3, kind, 50))
    expected = decode(path, channels)
    found = decoders(path, channels)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_floats_and_odd_names_travel(decoders, tmp_path):
    path = tmp_path / os.fsdecode(b"two\nlines \xff.npy")
    values = np.random.default_rng(0).random((3, 2, 5), np.float32)
    with open(path, "wb") as file:
        np.save(file, values)
    np.testing.assert_array_equal(decoders(path, 5), values)


@pytest.mark.parametrize("name", CONTENTS)
def test_fault_19_a_broken_file_gives_the_reason_of_this_process(decoders, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    with pytest.raises(Undecodable) as here:
        decode(path)
    with pytest.raises(Undecodable) as there:
        decoders(path, 3)
    assert there.value.reason == here.value.reason


def test_fault_17_a_bomb_is_refused_from_its_header(decoders, tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    with pytest.raises(Undecodable, match=r"declares 20,000 x 20,000 pixels, more than the"):
        decoders(tmp_path / "bomb.png", 3)


def test_fault_20_a_pipe_and_an_endless_device_are_not_waited_for(decoders, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zero.jpg"):
        with pytest.raises(Undecodable):
            decoders(tmp_path / name, 3)


@pytest.mark.parametrize(("name", "reason"), [("crash", "SIGABRT"), ("leave", "exit code 7"), ("hang", "within 3 s")])
def test_fault_16_what_kills_a_decoder_is_told_and_the_next_file_is_right(fragile, tmp_path, name, reason):
    picture(5).save(tmp_path / "good.png")
    with Decoders(seconds=3) as decoders:  # which a busy machine may take for a picture that is whole
        for _ in range(2):
            with pytest.raises(Undecodable, match=reason):
                decoders(tmp_path / name, 3)
            np.testing.assert_array_equal(decoders(tmp_path / "good.png", 3), np.asarray(picture(5)))


def test_fault_16_a_file_that_is_ready_at_the_last_moment_does_the_next_no_harm(tmp_path, monkeypatch):
    picture(5).save(tmp_path / "good.png")
    ask, delays = isolation._Process._ask, [3.5, 0]

    def late(process, path, channels):
        answer = ask(process, path, channels)
        time.sleep(delays.pop(0))  # the time runs out between the last byte and the end of the watch
        return answer

    monkeypatch.setattr(isolation._Process, "_ask", late)
    with Decoders(seconds=3) as decoders:
        for _ in range(2):
            np.testing.assert_array_equal(decoders(tmp_path / "good.png", 3), np.asarray(picture(5)))


def test_fault_16_many_threads_never_get_each_others_picture(fragile, tmp_path):
    for number in range(40):
        picture(number).save(tmp_path / f"{number}.png")
    wrong = []

    def ask(numbers, decoders):
        for number in numbers:
            if number % 10 == 0:
                with pytest.raises(Undecodable, match="SIGABRT"):
                    decoders(tmp_path / "crash", 3)
            if not np.array_equal(decoders(tmp_path / f"{number}.png", 3), np.asarray(picture(number))):
                wrong.append(number)

    with Decoders() as decoders:
        threads = [threading.Thread(target=ask, args=(range(start, 40, 3), decoders)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_library_that_prints_does_not_spoil_the_answer(fragile, tmp_path):
    picture(5).save(tmp_path / "speak.png")
    with Decoders() as decoders:
        np.testing.assert_array_equal(decoders(tmp_path / "speak.png", 3), np.asarray(picture(5)))


def test_a_decoder_that_does_not_start_is_no_broken_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(isolation, "START", "import swinkit_is_not_here")
    with Decoders() as decoders, pytest.raises(SwinkitError, match="--workers 0"):
        decoders(tmp_path / "any.png", 3)


def test_memory_of_a_decoder_is_bounded(monkeypatch, tmp_path):
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("this system does not bound address space")
    greedy = FRAGILE.replace("return real(path, channels)", "return bytearray(isolation.MEMORY_LIMIT)")
    monkeypatch.setattr(isolation, "START", greedy)
    picture(5).save(tmp_path / "picture.png")
    # and not that it died of what is no array, which an unbounded one does
    with Decoders() as decoders, pytest.raises(Undecodable, match="needs more than 4 GiB of memory"):
        decoders(tmp_path / "picture.png", 3)


@pytest.mark.parametrize("fault", [MemoryError, KeyboardInterrupt])
def test_fault_16_a_picture_that_does_not_fit_in_here_does_the_next_no_harm(tmp_path, monkeypatch, fault):
    for number in (5, 6):
        picture(number).save(tmp_path / f"{number}.png")

    def full(*given):
        raise fault

    with Decoders() as decoders:
        with monkeypatch.context() as patch:
            patch.setattr(isolation.np, "empty", full)
            with pytest.raises(fault):
                decoders(tmp_path / "5.png", 3)
        np.testing.assert_array_equal(decoders(tmp_path / "6.png", 3), np.asarray(picture(6)))


def test_leaving_ends_every_process_that_threads_started_at_once(fragile, tmp_path):
    decoders, together, faults = Decoders(seconds=60), threading.Barrier(5), []

    def ask():
        together.wait(timeout=30)
        try:
            decoders(tmp_path / "hang", 3)
        except SwinkitError as fault:
            faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    together.wait(timeout=30)
    while not (tmp_path / "hang").exists():
        time.sleep(0.1)
    with decoders:
        pass
    for thread in threads:
        thread.join(timeout=30)
    assert len(faults) == 4
    with pytest.raises(Undecodable, match="ended"):
        decoders(tmp_path / "hang", 3)


def test_leaving_ends_the_processes_even_in_the_middle_of_a_picture(fragile, tmp_path):
    decoders = Decoders(seconds=60)
    started = time.monotonic()
    fault = []

    def ask():
        try:
            decoders(tmp_path / "hang", 3)
        except Undecodable as error:
            fault.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive() and not (tmp_path / "hang").exists():
        time.sleep(0.1)
    with decoders:
        pass
    thread.join(timeout=20)
    assert fault
    assert time.monotonic() - started < 30
