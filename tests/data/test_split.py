from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swinkit.data.collection import Collection, Sample
from swinkit.data.duplicates import connected
from swinkit.data.layouts import open_data
from swinkit.data.split import Split, default_validation, make_split, workable_folds
from swinkit.errors import DataError, UsageError


def collection(samples: list[Sample], classes: int = 3, multi_label: bool = False) -> Collection:
    return Collection(Path("x"), "manifest", "", tuple(map(str, range(classes))), tuple(samples), multi_label)


def labelled(counts: list[int]) -> Collection:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return collection([Sample(str(index), (label,)) for index, label in enumerate(labels)], len(counts))


SAMPLES = st.lists(
    st.builds(
        Sample, st.text(max_size=3), st.lists(st.integers(0, 2), max_size=3, unique=True).map(tuple),
        st.none(), st.one_of(st.none(), st.sampled_from("abc")),
    ),
    min_size=3, max_size=40,
)  # fmt: skip


@settings(deadline=None)
@given(
    samples=SAMPLES,
    seed=st.integers(0, 2**40),
    alike=st.lists(st.lists(st.integers(0, 39), max_size=3), max_size=4),
    broken=st.sets(st.integers(0, 2)),
)
def test_parts_are_disjoint_whole_and_keep_together(samples, seed, alike, broken):
    data = collection(samples, multi_label=True)
    alike = [[index for index in group if index < len(samples)] for group in alike]
    if len(broken) == len(samples):
        return
    split = make_split(data, broken, seed, 0.3, 0.2, alike=alike)
    assert sorted(split.train + split.val + split.test) == [index for index in range(len(samples)) if index not in broken]
    home = {index: part for part in ("train", "val", "test") for index in getattr(split, part)}
    groups = [[i for i in home if samples[i].group == name] for name in "abc"] + [
        [i for i in group if i in home] for group in alike
    ]
    assert all(len({home[index] for index in group}) <= 1 for group in groups)
    assert make_split(data, broken, seed, 0.3, 0.2, alike=alike) == split


# of a group in a split of its own, since one in two splits is refused
PARTED = st.builds(
    lambda name, labels, split, group: Sample(name, labels, split, group and f"{group} of {split == 'test'}"),
    st.text(max_size=3), st.lists(st.integers(0, 2), max_size=3, unique=True).map(tuple),
    st.sampled_from((None, "train", "val", "test")), st.one_of(st.none(), st.sampled_from("abc")),
)  # fmt: skip


@given(
    samples=st.lists(PARTED, min_size=3, max_size=40), seed=st.integers(0, 2**40), folds=st.integers(2, 5),
    alike=st.lists(st.lists(st.integers(0, 39), max_size=3), max_size=4), broken=st.sets(st.integers(0, 4)),
)  # fmt: skip
def test_each_picture_validates_in_one_fold_beside_what_it_belongs_to(samples, seed, folds, alike, broken):
    data = collection(samples, multi_label=True)
    alike = [[index for index in group if index < len(samples)] for group in alike]
    usable = [index for index in range(len(samples)) if index not in broken]
    kept = [index for index in usable if samples[index].split != "test"]
    assume(any(samples[index].split != "val" for index in kept))
    groups = [
        [index for index in kept if samples[index].group == name] for name in {sample.group for sample in samples} - {None}
    ]
    units = connected([*groups, *([index for index in group if index in kept] for group in alike)])
    if folds > len(kept) - sum(len(unit) - 1 for unit in units):
        with pytest.raises(UsageError, match=f"folds={folds}"):
            make_split(data, broken, seed, folds=folds, alike=alike)
        return
    split = make_split(data, broken, seed, folds=folds, alike=alike)
    assert len(split.folds) == folds
    assert all(split.folds)
    assert sorted(index for fold in split.folds for index in fold) == kept
    assert sorted(split.test) == [index for index in usable if index not in kept]
    home = {index: number for number, fold in enumerate(split.folds) for index in fold}
    for together in groups + [[index for index in group if index in home] for group in alike]:
        assert len({home[index] for index in together}) <= 1
    for number in range(folds):
        one = split.fold(number)
        assert sorted(one.train + one.val) == kept
        assert {home[index] for index in one.val} <= {number}


@settings(deadline=None)
@given(counts=st.lists(st.integers(3, 60), min_size=2, max_size=6), seed=st.integers(0, 1000))
def test_stratified_within_one_picture(counts, seed):
    data = labelled(counts)
    split = make_split(data, seed=seed, val=0.2)
    for label, count in enumerate(counts):
        got = sum(data.samples[index].labels == (label,) for index in split.val)
        assert abs(got - max(1, 0.2 * count)) <= 1
        assert got >= 1


@settings(deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(1, 20), min_size=3, max_size=8), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    shares=st.tuples(st.sampled_from((0.05, 0.1, 0.4)), st.sampled_from((0.0, 0.1, 0.3))),
)
def test_every_part_has_a_group_of_each_class_that_has_three(sizes, seed, shares):
    samples = [
        Sample(f"{label}-{group}-{index}", (label,), None, f"{label}-{group}")
        for label, groups in enumerate(sizes)
        for group, size in enumerate(groups)
        for index in range(size)
    ]
    split = make_split(collection(samples, len(sizes)), seed=seed, val=shares[0], test=shares[1])
    parts = (split.train, split.val, *([split.test] if shares[1] else []))
    assert all({samples[index].labels[0] for index in part} == set(range(len(sizes))) for part in parts)
    assert sum(len({samples[index].group for index in part}) for part in parts) == sum(map(len, sizes))


def test_every_part_has_a_picture_of_a_label_that_comes_with_rarer_ones():
    samples = [Sample(str(index), (0, 1 + index // 2)) for index in range(8)] + [
        Sample(str(index), (5,)) for index in range(8, 40)
    ]
    for seed in range(20):
        split = make_split(collection(samples, 6, multi_label=True), seed=seed, val=0.1)
        assert any(0 in samples[index].labels for index in split.val)


def test_a_group_of_many_classes_leaves_its_part_only_where_no_class_loses_its_last():
    """All groups of class 0 hold the one group of another class."""
    samples = [Sample(f"{group}{index}", (index and group + 1,), None, str(group)) for group in range(3) for index in (0, 1)]
    assert len(make_split(collection(samples, 4)).train) == 6


def test_a_seed_means_the_same_split_as_ever():
    split = make_split(labelled([12, 7]), val=0.2, test=0.1, seed=3)
    assert (split.val, split.test) == ((0, 5, 11, 13), (8, 16))


def test_seeds_differ():
    data = labelled([50, 50])
    assert len({make_split(data, seed=seed).val for seed in range(5)}) == 5


def test_digits_keep_their_shares():
    data = open_data("digits")
    split = make_split(data, val=0.15, test=0.1)
    assert abs(len(split.val) - 0.15 * len(data)) < 6
    assert abs(len(split.test) - 0.1 * len(data)) < 6


def test_what_the_layout_says_is_kept_and_the_rest_drawn():
    samples = [Sample(str(i), (i % 2,), "train" if i < 20 else "test") for i in range(24)]
    split = make_split(collection(samples, 2))
    assert split.test == (20, 21, 22, 23)
    assert len(split.val) == 2  # a tenth of 20
    assert "test as the data says; 10% val drawn with seed 0" in split.made
    named = make_split(collection([Sample(str(i), (i % 2,), ("train", "val")[i % 4 == 0]) for i in range(12)], 2))
    assert named.val == (0, 4, 8)
    assert named.made == "val as the data says"


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_cover_everything_once(folds):
    data = labelled([7, 9])
    split = make_split(data, folds=folds)
    assert sorted(index for fold in split.folds for index in fold) == list(range(16))
    for number in range(folds):
        one = split.fold(number)
        assert one.made.startswith(f"fold {number + 1} of {folds} folds drawn with seed 0")
        assert sorted(one.train + one.val) == list(range(16))
        assert {data.samples[index].labels for index in one.val} == {(0,), (1,)}
    assert (split.train, split.val) == (split.fold(0).train, split.fold(0).val)
    with pytest.raises(UsageError, match="expected 0 to"):
        split.fold(folds)


def test_folds_join_what_the_data_parts_into_training_and_validation():
    samples = [Sample(str(i), (i % 2,), ("train", "val", None)[i % 3], "g" if i < 3 else None) for i in range(12)]
    split = make_split(collection(samples, 2), folds=3)
    assert sum(map(len, split.folds)) == 12
    assert any({0, 1, 2} <= set(fold) for fold in split.folds)


@pytest.mark.parametrize(
    ("classes", "groups", "alike", "folds"),
    [
        ("aabb", None, (), 4),
        ("aaaaabbbbb", None, (), 5),
        ("ab", None, (), None),
        ("aabb", "1122", (), None),
        ("aaaabbbb", "11223344", (), 4),
        ("aabb", None, ((0, 1),), None),
    ],
)
def test_as_many_folds_as_leave_every_class_to_learn_from(classes, groups, alike, folds):
    samples = tuple(
        Sample(str(index), ("ab".index(name),), None, groups and groups[index]) for index, name in enumerate(classes)
    )
    assert workable_folds(Collection(Path(), "manifest", "", ("a", "b"), samples), alike=alike) == folds


def test_a_tenth_validates_unless_that_is_more_than_it_takes():
    assert len(make_split(labelled([100, 100])).val) == 20
    assert default_validation(100_000) == 0.05


def test_round_trip():
    split = make_split(labelled([9, 9]), folds=3)
    assert Split.from_dict(json.loads(json.dumps(split.to_dict()))) == split


def test_few_labels_are_few_for_validation_too_and_the_others_are_the_test():
    data = labelled([200, 200])
    few = make_split(data).few(data, 5, seed=0)
    for part in (few.train, few.val):
        assert [data.samples[index].labels[0] for index in part] == [0] * 5 + [1] * 5
    assert sorted(few.train + few.val + few.test) == list(range(400))
    assert make_split(data).few(data, 5, seed=1).train != few.train


def test_of_few_labels_no_group_nor_likeness_is_judged_that_was_learned_from():
    samples = [Sample(str(i), (i % 2,), group=f"patient {i // 10}" if i < 100 else None) for i in range(200)]
    data, alike = collection(samples, 2), [(i, i + 1) for i in range(100, 200, 2)]
    few = make_split(data, alike=alike).few(data, 3, seed=0, alike=alike)
    drawn, units = {*few.train, *few.val}, [*(range(i, i + 10) for i in range(0, 100, 10)), *alike]
    assert few.test
    assert all(drawn.isdisjoint(unit) or set(few.test).isdisjoint(unit) for unit in units)


def test_unlabelled_pictures_are_left_out():
    data = collection([Sample("a", ()), *(Sample(str(i), (i % 2,)) for i in range(10))], 2)
    split = make_split(data)
    assert 0 not in split.train + split.val


def test_a_group_of_which_the_data_leave_a_part_open_stays_whole():
    data = collection([Sample(str(i), (i % 2,), ("train", None)[i % 3 > 0], "g" if i < 4 else None) for i in range(20)], 2)
    for seed in range(8):
        split = make_split(data, seed=seed, val=0.4)
        assert {0, 1, 2, 3} <= set(split.train) or {0, 1, 2, 3} <= set(split.val)


def test_refusals():
    with pytest.raises(DataError, match="no picture to train on"):
        make_split(labelled([2, 2]), unusable=range(4))
    with pytest.raises(DataError, match="group 'g' has pictures in"):
        make_split(collection([Sample("a", (0,), "train", "g"), Sample("b", (1,), "val", "g"), Sample("c", (1,), "train")]))
    torn = [Sample("a", (0,), "train", "g"), Sample("b", (1,), "test", "g"), Sample("c", (1,), "val"), Sample("d", (0,), "val")]
    with pytest.raises(DataError, match="group 'g' has pictures in training or validation and in test"):
        make_split(collection(torn), folds=2)
    with pytest.raises(UsageError, match="expected shares"):
        make_split(labelled([5, 5]), val=0.6, test=0.4)
    for few in (labelled([2, 2]), collection([Sample(str(index), (0,), None, "g") for index in range(9)])):
        with pytest.raises(DataError, match=r"val=0\.9 and test=0\.0 leave no picture to train on.*Mend: smaller shares"):
            make_split(few, val=0.9)
    with pytest.raises(UsageError, match="folds=11: expected 2 to 10, the number of groups"):
        make_split(labelled([5, 5]), folds=11)
    grouped = collection([Sample(str(index), (index % 2,), None, str(index % 3)) for index in range(60)])
    with pytest.raises(UsageError, match="folds=5: expected 2 to 3, the"):
        make_split(grouped, folds=5)
