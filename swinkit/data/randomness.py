"""Counter-based randomness: a number is a function of (seed, epoch, index, draw) and of nothing else.

So an augmented picture does not depend on the batch it is in, on the worker that made it, or on what was drawn before.
The mixer is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ORDER = 1  # streams: the order of an epoch never shares numbers with its augmentation
AUGMENTATION = 2
SPLIT = 3
SCENES = 4
MASK = 5


def mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's output function on uint64, elementwise; a bijection."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def keys(seed: int, epoch: int, indices: np.ndarray, stream: int) -> np.ndarray:
    """One uint64 for each of ``indices`` (N,), from which that sample's numbers are drawn."""
    state = np.zeros(1, np.uint64)
    for part in (stream, seed, epoch):
        state = mix(state + GOLDEN + np.array([part % 2**64], np.uint64))
    return mix(state + GOLDEN * (np.asarray(indices).astype(np.uint64) + np.uint64(1)))


def uniforms(keys: np.ndarray, draws: int) -> np.ndarray:
    """(N, ``draws``) float64 in [0, 1), 53 bits each, for ``keys`` (N,) uint64."""
    counters = np.arange(1, draws + 1, dtype=np.uint64) * GOLDEN
    return (mix(keys[:, None] + counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53
