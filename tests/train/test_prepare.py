"""What is decided before the first step, where no other file here has it."""

from pathlib import Path

import pytest

from swinkit.data.collection import Collection, Sample
from swinkit.data.split import make_split
from swinkit.errors import DataError
from swinkit.train.prepare import make_feed
from swinkit.train.settings import TrainSettings


@pytest.mark.parametrize(("groups", "mend"), [(True, "three groups of each class"), (False, "more pictures of each class")])
def test_who_has_no_validation_pictures_is_told_of_groups_where_there_are_any(groups, mend):
    rows = [Sample(f"{index}", (index % 2,), None, f"{index}" if groups else None) for index in range(4)]
    collection = Collection(Path("x"), "manifest", "", ("a", "b"), tuple(rows))
    with pytest.raises(DataError, match=f"no validation pictures. Mend: {mend}"):
        make_feed(TrainSettings(data="x"), collection, make_split(collection))
