import os
import signal
import threading

import pytest

from swinkit.train.interrupt import Interruption

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
