"""Pictures that are kept change no bit, spare decoding, and take no more memory than they may."""

from __future__ import annotations

from multiprocessing import active_children

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinkit.data import cache
from swinkit.data.arrays import Undecodable
from swinkit.data.augment import Augmentation
from swinkit.data.cache import Kept, room
from swinkit.data.collection import Collection
from swinkit.data.layouts import open_data
from swinkit.data.loader import Batch, Epoch, Loader, epoch_order, eval_batches, in_batches, joined
from swinkit.data.transforms import evaluation, training
from swinkit.preprocessing import Preprocessing

from .pictures import class_folders, colourful
from .test_loader import FULL, same, train_batches

SEED, COUNT, SIZE = 4, 14, 4
LOOK = Preprocessing(size=(8, 8), interpolation="bilinear")
SHIFTED = Augmentation(shift=1, flip=True, randaugment=5)
PLENTY = 10**9
PICTURE = 3 * 12 * 16  # bytes of one of the folder


@pytest.fixture
def folder(tmp_path) -> Collection:
    return open_data(class_folders(tmp_path, each=COUNT // 2))


def plan(number: int) -> tuple[list[np.ndarray], Epoch]:
    epoch = Epoch(SEED, number)
    return in_batches(epoch_order(range(COUNT), epoch), SIZE, drop_last=False), epoch


def anew(data: Collection, number: int, look: Augmentation = FULL) -> list[Batch]:
    """An epoch as it is without a memory."""
    batches, epoch = plan(number)
    return train_batches(data, batches, training(LOOK, look), epoch)


def judged(data: Collection) -> list[Batch]:
    return list(eval_batches(data, range(COUNT), evaluation(LOOK), SIZE))


def loader_of(data: Collection, workers: int, room: int = PLENTY, look: Augmentation = FULL) -> Loader:
    return Loader(data, training(LOOK, look), evaluation(LOOK), workers, room)


@pytest.mark.parametrize("look", [FULL, SHIFTED, Augmentation()])
@pytest.mark.parametrize(
    ("workers", "room"), [(0, PLENTY), (0, 5 * PICTURE), (2, PLENTY), (2, 5 * PICTURE), (1, PLENTY), (2, 0)]
)
def test_kept_pictures_change_no_bit(look, workers, room, folder):
    with loader_of(folder, workers, room, look) as loader:
        for number in range(3):
            found = list(loader.training(*plan(number)))
            assert same(found, anew(folder, number, look))
            assert {batch.epoch for batch in found} == {number}
            assert same(list(loader.evaluation(range(COUNT), SIZE)), judged(folder))


def test_pictures_of_sixteen_bits_are_kept_as_they_are(tmp_path):
    (tmp_path / "a").mkdir()
    for index in range(COUNT):
        np.save(tmp_path / "a" / f"{index}.npy", np.asarray(colourful(index)).astype(np.uint16) * 257)
    data, look = open_data(tmp_path), Augmentation(crop_scale=(0.5, 1.0))
    with loader_of(data, 0, look=look) as loader:
        for number in range(2):
            assert same(list(loader.training(*plan(number))), anew(data, number, look))
        assert loader.source.kept.held == COUNT * 4 * PICTURE


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_is_decoded_once_and_what_is_not_kept_is_read_again(workers, folder):
    expected = anew(folder, 1)
    with loader_of(folder, workers) as keeping, loader_of(folder, workers, 0) as forgetful:
        list(keeping.training(*plan(0)))
        for index in range(COUNT):
            folder.path(index).unlink()
        assert same(list(keeping.training(*plan(1))), expected)
        with pytest.raises(Undecodable, match="No such file"):
            list(forgetful.training(*plan(1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_named_whoever_keeps_the_others(workers, folder):
    folder.path(3).write_bytes(b"")
    with loader_of(folder, workers) as loader, pytest.raises(Undecodable, match=r"cat/3\.png: zero bytes"):
        list(loader.training(*plan(0)))


def test_a_start_within_an_epoch_keeps_too(folder):
    batches, epoch = plan(2)
    whole = anew(folder, 2)
    with loader_of(folder, 2) as loader:
        for start in (2, 1, 0):
            assert same(list(loader.training(batches[start:], epoch)), whole[start:])


def test_workers_stay_from_pass_to_pass_until_it_is_closed(folder):
    others = {child.pid for child in active_children()}  # of tests before this one

    def workers():
        return {child.pid for child in active_children()} - others

    with loader_of(folder, 2) as loader:
        list(loader.training(*plan(0)))
        first = workers()
        next(loader.evaluation(range(COUNT), SIZE))
        list(loader.training(*plan(1)))
        assert workers() == first
        assert len(first) == 2
    assert not workers()


def test_a_closed_loader_says_so_and_may_be_closed_again(folder):
    with loader_of(folder, 2) as loader:
        loader.close()
        with pytest.raises(RuntimeError, match="closed"):
            next(loader.training(*plan(0)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("room", [0, PLENTY])
def test_a_pass_ends_the_one_before(room, workers, folder):
    with loader_of(folder, workers, room) as loader:
        left = loader.training(*plan(0))
        next(left)
        now = loader.evaluation(range(COUNT), SIZE)
        first = next(now)
        with pytest.raises(RuntimeError, match="Another pass"):  # rather than batches of the other
            next(left)
        assert same([first, *now], judged(folder))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 40), st.data())
def test_no_more_is_kept_than_there_is_room_for(sizes, room, data):
    kept, made = Kept(room), []

    def make(index: int) -> torch.Tensor:
        made.append(index)
        return torch.full((sizes[index],), index, dtype=torch.uint8)

    asked = data.draw(st.lists(st.sampled_from(range(len(sizes))), max_size=40))
    for index in asked:
        assert kept.get(index, lambda index=index: make(index)).tolist() == [index] * sizes[index]
        assert kept.held <= room
    assert all(made.count(index) in (1, asked.count(index)) for index in asked)  # what is kept stays
    if sum(sizes[index] for index in set(asked)) <= room:
        assert sorted(made) == sorted(set(asked))
        assert len(kept) == len(made)


def test_a_cut_picture_keeps_nothing_of_the_whole():
    kept = Kept(100)
    cut = kept.get(0, lambda: torch.ones(3, 100, 100, dtype=torch.uint8)[:, :4, :4])
    again = kept.get(0, lambda: pytest.fail("made again"))
    assert torch.equal(again, cut)
    assert again.untyped_storage().nbytes() == kept.held == 48


@given(st.integers(2, 5), st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_parts_are_joined_in_the_order_of_the_batch(parts, owner):
    owner = np.array(owner) % parts
    whole = torch.rand(len(owner), 3, 2, 2)
    cut = [whole[torch.from_numpy(owner == part)] if (owner == part).any() else torch.empty(0) for part in range(parts)]
    assert torch.equal(joined(cut, owner), whole)


def test_room_is_a_share_of_the_free_memory_and_none_where_that_is_not_known(monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 1000)
    assert (room(0.25), room(0)) == (250, 0)
    monkeypatch.setattr(cache, "available_memory", lambda: None)
    assert room(0.25) == 0
