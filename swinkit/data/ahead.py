"""Threads that make results before they are asked for, in order and no further ahead than they should be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def made_ahead(make: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """``make`` of each of ``items`` in their order, by ``threads``; ``ahead`` results at most wait for the reader, made or not."""
    pool = ThreadPoolExecutor(threads)
    try:
        coming: deque[Future[Result]] = deque()
        for item in items:
            coming.append(pool.submit(make, item))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # whoever stops us does not wait for a slow picture
