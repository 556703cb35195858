"""Pictures decoded in processes of their own, so that whatever one file does to a decoder, it does to its own answer only.

Each process is Python with NumPy and Pillow, without torch. It takes a file name on stdin and returns one array on stdout; no
pickle travels either way. A process that crashes, needs too much memory or too long is replaced, and its file gets the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from ..data.arrays import Undecodable
from ..data.decode import decode
from ..errors import SwinkitError
from ..interpreter import python

MEMORY_LIMIT = 4 << 30  # bytes of address space of one decoding process, its libraries included
REQUEST, REPLY = struct.Struct("<II"), struct.Struct("<I")
START = "from swinkit.runtime.isolation import serve; serve()"


class Decoders:
    """A pool of decoding processes that grows with the number of threads that call it at once; each process serves one at a time.

    ``seconds`` is the time that one picture may take. As a context manager it ends its processes.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._all: list[_Process] = []
        self._over, self._changing = False, threading.Lock()
        self._idle.put(self._start())  # now, while the caller loads its model

    def __call__(self, path: Path, channels: int) -> np.ndarray:
        """The picture in the file ``path``, as :func:`swinkit.data.decode.decode` gives it; raises :class:`Undecodable`."""
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = self._start()
        try:
            return process.decode(path, channels, self.seconds)
        finally:
            if process.alive:
                self._idle.put(process)

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changing:
            self._over = True
        for process in self._all:
            process.end()

    def _start(self) -> _Process:
        process = _Process()
        with self._changing:  # several threads begin at once, and each process must be among those that leaving ends
            self._all = [*(each for each in self._all if each.alive), process]
            over = self._over
        if over:
            process.end()
            raise Undecodable("the run ended before it")
        return process


class _Process:
    def __init__(self) -> None:
        # in a group of its own: Ctrl-C must reach the run, which ends in order, and not its decoders first
        group: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {"creationflags": 0x200}
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            python(START), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **single}, **group,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout
        self._ready = False
        self.alive = True

    def decode(self, path: Path, channels: int, seconds: float) -> np.ndarray:
        if not self._ready:
            self._greet()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            return self._ask(os.fsencode(path), channels)
        except Undecodable:
            raise
        except (EOFError, OSError, ValueError):  # the last where leaving has closed the pipes meanwhile
            self.end()
            raise Undecodable(f"not decoded within {seconds:g} s" if late.is_set() else self._crash()) from None
        except BaseException:
            # the rest of the answer is still in the pipe, where the next file would meet it
            self.end()
            raise
        finally:
            timer.cancel()
            timer.join()
            # perhaps after the last byte: the next file shall not meet a process that was killed for this one
            if late.is_set():
                self.end()

    def _greet(self) -> None:
        try:
            self._ready = self._receive() == {}
        except (EOFError, ValueError):
            self.end()
            raise SwinkitError(
                "The process that decodes pictures does not start. Mend: --workers 0 decodes without one; "
                "`swinkit doctor` says what this installation lacks"
            ) from None

    def _ask(self, path: bytes, channels: int) -> np.ndarray:
        self._requests.write(REQUEST.pack(channels, len(path)) + path)
        self._requests.flush()
        header = self._receive()
        if "reason" in header:
            raise Undecodable(header["reason"])
        picture = np.empty(header["shape"], header["dtype"])
        rest = memoryview(picture.data).cast("B")
        while rest:
            count = self._replies.readinto(rest)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            rest = rest[count:]
        return picture

    def _receive(self) -> dict[str, Any]:
        (length,) = REPLY.unpack(_read(self._replies, REPLY.size))
        return json.loads(_read(self._replies, length))

    def _crash(self) -> str:
        code = self._process.wait()
        return f"the decoder crashed on it ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def end(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.wait()
        self._replies.close()
        with contextlib.suppress(OSError):  # what was not sent yet cannot be sent any more
            self._requests.close()


def serve() -> None:
    """The decoding process: answer requests on stdin until it ends."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak into the replies
    _limit_memory()
    _send(replies, {})
    while header := requests.read(REQUEST.size):
        channels, length = REQUEST.unpack(header)
        try:
            picture = np.ascontiguousarray(decode(Path(os.fsdecode(requests.read(length))), channels))
        except Undecodable as fault:
            _send(replies, {"reason": fault.reason})
        except MemoryError:
            _send(replies, {"reason": f"needs more than {MEMORY_LIMIT >> 30} GiB of memory"})
        else:
            _send(replies, {"shape": picture.shape, "dtype": picture.dtype.str}, memoryview(picture.data).cast("B"))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def _send(replies: BinaryIO, header: dict[str, Any], content: bytes | memoryview = b"") -> None:
    text = json.dumps(header).encode()
    replies.write(REPLY.pack(len(text)) + text)
    replies.write(content)
    replies.flush()


def _read(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
