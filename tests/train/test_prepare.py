"""What is decided before the first step, where no other file here has it."""

from pathlib import Path

import pytest

from swinkit.data.collection import Collection, Sample
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split
from swinkit.errors import DataError
from swinkit.train.prepare import checked, make_feed
from swinkit.train.settings import TrainSettings


@pytest.mark.parametrize(("groups", "mend"), [(True, "three groups of each class"), (False, "more pictures of each class")])
def test_who_has_no_validation_pictures_is_told_of_groups_where_there_are_any(groups, mend):
    rows = [Sample(f"{index}", (index % 2,), None, f"{index}" if groups else None) for index in range(4)]
    collection = Collection(Path("x"), "manifest", "", ("a", "b"), tuple(rows))
    with pytest.raises(DataError, match=f"no validation pictures. Mend: {mend}"):
        make_feed(TrainSettings(data="x"), collection, make_split(collection))


def test_what_makes_no_sense_is_told_sentence_by_sentence(tmp_path):
    (tmp_path / "m.csv").write_text("file_name,label\ngone.png,a\nlost.png,b\n")
    with pytest.raises(DataError, match=r"relative to the manifest's folder, .*; 2 of 2 classes without a usable picture"):
        checked(TrainSettings(data="m.csv"), open_data(tmp_path / "m.csv"), lambda _: None, None)
