"""The same picture twice: byte for byte, or so alike that a model which saw one knows the other.

Candidates come from a difference hash (64 bits: which of two neighbours in a 16x16 thumbnail is brighter) that differs in at
most three bits; the thumbnails then decide, since plain pictures share hashes without being alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from .arrays import luma

FAR = 3  # bits; four bands of 16 bits then share at least one
ALIKE = 3.0  # mean difference of the thumbnails, of 255
FLAT = 16  # brightest minus darkest of a thumbnail below which there is nothing to tell it by
CROWD = 512  # a band shared by more pictures than this is a plain background, not a sign
# more pictures than this that are alike, and more than such a share of all or of a class, were taken from one standpoint
VIEW_LEAST, VIEW_SHARE = 10, 0.5


@dataclass(frozen=True, slots=True)
class Print:
    """Fingerprint of one picture: SHA-256 of its bytes, and a gray thumbnail (16, 16) uint8."""

    digest: bytes
    thumbnail: np.ndarray


def fingerprint(picture: np.ndarray, digest: bytes | None = None) -> Print:
    """Of a decoded ``picture`` (H, W, C); ``digest`` is that of its file, where it has one."""
    gray = picture if picture.dtype == np.uint8 else (picture * 255).astype(np.uint8)
    plane = luma(gray)[..., 0] if gray.shape[2] == 3 else gray.mean(axis=2).astype(np.uint8)
    thumbnail = np.asarray(Image.fromarray(plane).resize((16, 16), Image.Resampling.BOX))
    return Print(digest or hashlib.sha256(picture.tobytes()).digest(), thumbnail)


def difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 16, 16) to (N,) uint64: pairs of rows added up, then each even column against the odd one beside it."""
    rows = thumbnails[:, ::2].astype(np.int16) + thumbnails[:, 1::2]
    return np.packbits(rows[:, :, 1::2] > rows[:, :, ::2], axis=None).view(">u8").astype(np.uint64)


def exact(prints: dict[int, Print]) -> list[tuple[int, ...]]:
    """Groups of two or more indices with the same bytes."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, found in prints.items():
        groups[found.digest].append(index)
    return [tuple(members) for members in groups.values() if len(members) > 1]


def near(prints: dict[int, Print]) -> list[tuple[int, ...]]:
    """Groups of indices that look alike without being the same bytes; of exact duplicates only the first takes part."""
    first = {found.digest: index for index, found in reversed(prints.items())}
    chosen = np.array(sorted(first.values()), np.int64)
    if not len(chosen):
        return []
    thumbnails = np.stack([prints[index].thumbnail for index in chosen.tolist()])
    flat = thumbnails.reshape(len(chosen), -1).astype(np.int16)
    telling = flat.max(1) - flat.min(1) >= FLAT
    links: set[tuple[int, int]] = set()
    for rows, columns in _candidates(difference_hashes(thumbnails), np.flatnonzero(telling)):
        alike = np.abs(flat[rows] - flat[columns]).mean(1) <= ALIKE
        links.update(zip(chosen[rows[alike]].tolist(), chosen[columns[alike]].tolist(), strict=True))
    return connected(links)


def one_view(group: Sequence[int], labels: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether ``group``, near duplicates of those pictures whose ``labels`` are given, is no picture over again but what a camera saw that
    never moved: so large that to keep it together would leave a part without pictures, or without some class."""
    if len(group) <= VIEW_LEAST:
        return False
    whole, part = (
        Counter(kind for kinds in labels.values() for kind in kinds),
        Counter(kind for one in group for kind in labels[one]),
    )
    return len(group) > VIEW_SHARE * len(labels) or any(
        count > max(VIEW_LEAST, VIEW_SHARE * whole[kind]) for kind, count in part.items()
    )


def _candidates(hashes: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs among ``chosen`` whose ``hashes`` are at most ``FAR`` bits apart, as (first ones, second ones); some come twice."""
    for band in range(4):
        keys = hashes[chosen] >> np.uint64(16 * band) & np.uint64(0xFFFF)
        order = np.argsort(keys, kind="stable")
        for members in np.split(chosen[order], np.flatnonzero(np.diff(keys[order])) + 1):
            if 1 < len(members) <= CROWD:
                apart = np.bitwise_count(hashes[members, None] ^ hashes[None, members])
                rows, columns = np.nonzero(np.triu(apart <= FAR, 1))
                yield members[rows], members[columns]


def connected(links: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Groups of whatever the ``links`` join, directly or through others, sorted."""
    home: dict[int, int] = {}

    def root(index: int) -> int:
        while home.setdefault(index, index) != index:
            home[index] = index = home[home[index]]
        return index

    for link in links:
        for one, other in pairwise(link):
            low, high = sorted((root(one), root(other)))
            home[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for index in sorted(home):
        groups[root(index)].append(index)
    return [tuple(members) for _, members in sorted(groups.items()) if len(members) > 1]
