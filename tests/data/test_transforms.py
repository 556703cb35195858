from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swinkit.data.augment import Augmentation
from swinkit.data.randomness import AUGMENTATION, ORDER, keys, mix, uniforms
from swinkit.data.transforms import crop_box, evaluation, match_channels, sample_keys, sufficient, takes, training
from swinkit.errors import DataError, UsageError
from swinkit.preprocessing import Preprocessing

GRAY = Preprocessing(size=(12, 10), resize="squash", channels=1, mean=(0.3,), std=(0.2,))
COLOUR = Preprocessing(size=(16, 16), interpolation="bilinear")
PLAIN = Preprocessing(size=(4, 4), resize="squash", channels=1, mean=(0.0,), std=(1.0,))


def pictures(count: int, height: int, width: int, channels: int, kind: type = np.uint8) -> np.ndarray:
    values = np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)
    return values if kind is np.uint8 else (values / 255).astype(np.float32)


AUGMENTATIONS = st.builds(
    Augmentation, flip=st.booleans(), crop_scale=st.sampled_from([None, (0.3, 1.0), (1.0, 1.0)]), shift=st.integers(0, 4),
    randaugment=st.sampled_from([0, 0, 9]), color_jitter=st.sampled_from([0.0, 0.4]), erasing=st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    augmentation=AUGMENTATIONS,
    preprocessing=st.sampled_from([GRAY, COLOUR]),
    kind=st.sampled_from([np.uint8, np.float32]),
    order=st.permutations(range(5)),
)
def test_a_picture_does_not_depend_on_its_batch(augmentation, preprocessing, kind, order):
    stack = pictures(5, 14, 11, preprocessing.channels, kind)
    transform, key = training(preprocessing, augmentation), sample_keys(3, 1, np.arange(5))
    together = transform.batch(stack, key)
    assert together.dtype == torch.float32
    assert together.shape == (5, preprocessing.channels, *preprocessing.size)
    assert together.isfinite().all()
    shuffled = transform.batch(stack[order], key[order])
    for place, index in enumerate(order):
        assert torch.equal(shuffled[place], together[index])
    torch.manual_seed(np.random.randint(1000))
    assert torch.equal(transform(stack[2], key[2]), together[2])


def test_the_global_generator_is_left_alone():
    transform = training(COLOUR, Augmentation(randaugment=9, color_jitter=0.4))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    transform.batch(pictures(4, 16, 16, 3), sample_keys(0, 0, np.arange(4)))
    assert torch.equal(torch.rand(3), expected)


def test_no_augmentation_is_evaluation():
    stack = pictures(3, 20, 13, 3)
    assert torch.equal(
        training(COLOUR, Augmentation()).batch(stack, sample_keys(0, 0, np.arange(3))), evaluation(COLOUR).batch(stack)
    )


def test_evaluation_normalises():
    picture = np.full((4, 4, 1), 51, np.uint8)
    transform = evaluation(Preprocessing(size=(4, 4), resize="squash", channels=1, mean=(0.1,), std=(0.5,)))
    torch.testing.assert_close(transform(picture), torch.full((1, 4, 4), 0.2))
    torch.testing.assert_close(transform(np.full((4, 4, 1), 0.2, np.float32)), torch.full((1, 4, 4), 0.2))


def test_the_picture_itself_is_never_handed_to_torch():
    gray = pictures(1, 12, 10, 1)
    assert not np.shares_memory(evaluation(GRAY)._planes(gray).numpy(), gray)


def test_shortest_cuts_the_centre():
    picture = np.zeros((4, 12, 1), np.uint8)
    picture[:, 4:8] = 255
    transform = evaluation(Preprocessing(size=(4, 4), crop_ratio=1, channels=1, mean=(0.0,), std=(1.0,)))
    assert torch.equal(transform(picture), torch.ones(1, 4, 4))


def test_none_keeps_the_size():
    assert evaluation(Preprocessing(resize="none"))(pictures(1, 7, 9, 3)[0]).shape == (3, 7, 9)


def test_shift_moves_by_whole_pixels_and_repeats_the_edge():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    transform = training(PLAIN, Augmentation(shift=1))
    padded = np.pad(picture[..., 0], 1, mode="edge")
    windows = {padded[y : y + 4, x : x + 4].tobytes() for y in range(3) for x in range(3)}
    made = (transform.batch(np.repeat(picture[None], 200, 0), sample_keys(0, 0, np.arange(200))) * 255).round().byte()
    assert {image[0].numpy().tobytes() for image in made} == windows


def test_flip_mirrors_about_half():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    made = training(PLAIN, Augmentation(flip=True)).batch(np.repeat(picture[None], 400, 0), sample_keys(0, 0, np.arange(400)))
    straight = evaluation(PLAIN)(picture)
    mirrored = sum(torch.equal(image, straight.flip(-1)) for image in made)
    assert mirrored + sum(torch.equal(image, straight) for image in made) == 400
    assert 150 < mirrored < 250


def test_erasing_sets_a_box_to_the_mean():
    transform = training(GRAY, Augmentation(erasing=1.0))
    stack = np.full((50, 12, 10, 1), 255, np.uint8)
    erased = (transform.batch(stack, sample_keys(0, 0, np.arange(50))) == 0).float().mean(dim=(1, 2, 3))
    assert (erased > 0).all()
    assert (erased < 0.6).all()
    assert len(erased.unique()) > 5


@settings(deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    low=st.floats(0.01, 1),
    chance=st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
)
def test_crop_box_lies_inside(height, width, low, chance):
    top, left, rows, columns = crop_box((height, width), (low, 1.0), np.array(chance))
    assert 0 <= top <= top + rows <= height
    assert 0 <= left <= left + columns <= width
    assert rows >= 1
    assert columns >= 1


@given(
    side=st.integers(1, 400),
    low=st.floats(0.05, 1),
    beyond=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    chance=st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
)
def test_every_crop_of_a_sufficient_picture_has_twice_the_pixels(side, low, beyond, chance):
    least = sufficient(side, low)
    _, _, rows, columns = crop_box((least + beyond[0], least + beyond[1]), (low, 1.0), np.array(chance))
    assert min(rows, columns) >= 2 * side


@pytest.mark.parametrize(
    ("sides", "size"), [((160, 320), (160, 320)), ((64, 64), (32, 64)), ((90, 60), (40, 40)), ((50, 200), (64, 64))]
)
def test_a_crop_stretches_a_picture_within_bounds_whatever_it_is_scaled_to(sides, size):
    """As published for squares, 3/4 to 4/3, also where picture and network are none."""
    aspect, chance = size[1] / size[0], np.random.default_rng(0).random((500, 4))
    boxes = np.array([crop_box(sides, (0.67, 1.0), row, aspect) for row in chance])
    stretch = boxes[:, 3] / boxes[:, 2] / aspect
    assert 0.72 < stretch.min() < 0.8 < 1.25 < stretch.max() < 1.38
    whole = min(sides[0], sides[1] / aspect) ** 2 * aspect  # of the largest crop that stretches nothing
    assert (boxes[:, 2] * boxes[:, 3] >= 0.64 * whole).all()


def test_only_random_crops_are_content_with_fewer_pixels():
    crops = Augmentation(crop_scale=(0.5, 1.0))
    assert training(COLOUR, crops).least == sufficient(16, 0.5) < 64
    assert evaluation(COLOUR).least is training(COLOUR, Augmentation(shift=2)).least is None
    assert training(COLOUR.model_copy(update={"resize": "none"}), crops).least is None


def test_epochs_and_seeds_change_what_is_drawn():
    transform, stack = training(COLOUR, Augmentation(crop_scale=(0.2, 1.0))), pictures(1, 30, 30, 3)
    draws = [transform.batch(stack, sample_keys(seed, epoch, np.array([7]))) for seed in range(2) for epoch in range(2)]
    assert all(not torch.equal(one, other) for i, one in enumerate(draws) for other in draws[:i])


@pytest.mark.parametrize("have", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_which_channels_are_taken_is_told_before_a_picture_is_matched(channels, have):
    match = partial(match_channels, pictures(1, 2, 2, have), channels)
    if takes(channels, have):
        assert match().shape == (1, 2, 2, channels)
    else:
        with pytest.raises(DataError):
            match()


def test_channels_are_matched_or_refused():
    gray = pictures(1, 2, 2, 1)
    assert np.array_equal(match_channels(gray, 3), np.repeat(gray, 3, -1))
    assert match_channels(pictures(1, 2, 2, 3), 1).shape == (1, 2, 2, 1)
    with pytest.raises(DataError, match="in_channels=5"):
        match_channels(pictures(1, 2, 2, 5), 3)
    many = Preprocessing(channels=5, mean=(0.5,) * 5, std=(0.2,) * 5)
    with pytest.raises(UsageError, match="1 or 3 channels"):
        training(many, Augmentation(randaugment=9))


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.8, 0.2), (0.5, 1.5)])
def test_augmentation_refuses_impossible_crops(scale):
    with pytest.raises(ValidationError, match="crop_scale"):
        Augmentation(crop_scale=scale)


def test_splitmix_is_the_published_one():
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden * k % 2**64 for k in (1, 2, 3)], np.uint64)
    assert mix(states).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@settings(deadline=None)
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
def test_uniforms_are_uniform_enough_and_streams_apart(seed, epoch):
    indices = np.arange(2000)
    drawn = uniforms(keys(seed, epoch, indices, AUGMENTATION), 2)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(drawn.mean() - 0.5) < 0.05
    assert not np.intersect1d(keys(seed, epoch, indices, ORDER), keys(seed, epoch, indices, AUGMENTATION)).size
