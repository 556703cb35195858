"""Memory that a process frees and soon needs again is kept, as GPUs' allocators do.

glibc hands every large block back to the system when it is freed, so that each step of training meets its activations as fresh
pages, which the system has to find and clear: for Swin-T a sixth of the step. What follows is a setting of the whole process: what it
once used stays with it, also where another part of it freed that, and gaps between blocks come on top.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

from .identity import switched_off

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4  # of mallopt (malloc.h)
MADV_HUGEPAGE = 14
NEVER = -1  # as a size, the largest
MOST = 2**31 - 2**20  # bytes of address space taken at once; mallopt takes an int


@functools.cache
def keep_freed_memory() -> str:
    """Let freed memory stay with the process, in huge pages where the system has them; says what was done, or why nothing was.

    Only glibc on Linux has these switches. ``SWINKIT_KERNELS=0`` in the environment leaves everything as it was.
    """
    if why := switched_off():
        return why
    if not sys.platform.startswith("linux"):
        return "only Linux has the switch"
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "gnu_get_libc_version"):
        return "this C library has no switch for it"
    libc.mallopt.argtypes, libc.mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    if not (libc.mallopt(MMAP_MAX, 0) and libc.mallopt(TRIM_THRESHOLD, NEVER)):
        return "the C library refused"
    _grow(libc)
    start, length = _heap()
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    huge = length and libc.madvise(start, length, MADV_HUGEPAGE) == 0
    return "freed memory is kept" + (", in huge pages" if huge else "")


def give_back_freed_memory() -> None:
    """Hand what is free at this moment back to the system, where it takes it: what building something took, and running it does not need.

    What is freed later stays where :func:`keep_freed_memory` said so. The top of the heap is left, whose pages are the first to be needed.
    """
    if sys.platform.startswith("linux") and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim.argtypes, libc.malloc_trim.restype = (ctypes.c_size_t,), ctypes.c_int
        libc.malloc_trim(MOST)


def _grow(libc: ctypes.CDLL) -> None:
    """Take the address space of the heap at once, so that one advice reaches all of it; pages come when they are first used."""
    libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = (ctypes.c_void_p,), None
    libc.mallopt(TOP_PAD, min(MOST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4))
    libc.free(libc.malloc(2**27))
    libc.mallopt(TOP_PAD, 2**26)


def _heap() -> tuple[int, int]:
    """Address and bytes of the heap."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.endswith("[heap]"):
            start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
            return start, end - start
    return 0, 0
