"""What a configuration refuses, and what follows from it."""

import numpy as np
import pytest

from swinkit.config import SwinConfig
from swinkit.errors import UsageError
from swinkit.preprocessing import Preprocessing
from swinkit.validation import validated


@pytest.mark.parametrize("ratio", [4.0, 2.7, 1 / 3, 0.3])
@pytest.mark.parametrize("width", [96, 224, 352])
def test_a_ratio_read_off_the_widest_hidden_layer_gives_all_of_them(width, ratio):
    config = SwinConfig(embed_dim=width, num_heads=(1, 1, 1, 1), mlp_ratio=ratio)
    again = config.model_copy(update={"mlp_ratio": config.hidden_widths[-1] / config.widths[-1]})
    assert again.hidden_widths == config.hidden_widths


def test_a_size_may_be_numpys():
    assert SwinConfig(image_size=np.int64(32)).image_size == (32, 32)


def test_a_whole_hidden_layer_is_not_lost_to_rounding():
    assert 49 * (1 / 49) < 1  # in binary, which rounding down would turn into nothing
    assert SwinConfig(embed_dim=49, num_heads=(1, 1, 1, 1), mlp_ratio=1 / 49).hidden_widths == (1, 2, 4, 8)


@pytest.mark.parametrize(
    ("schema", "values", "said"),
    [
        (SwinConfig, {"mlp_ratio": 0.001}, "mlp_ratio 0.001 leaves 96 channels no hidden one"),
        (SwinConfig, {"mlp_ratio": float("inf")}, "mlp_ratio: "),
        (SwinConfig, {"image_size": 224.5}, r"image_size: .*a side, as 224, or height and width, as \[160,320\], got 224\.5"),
        (Preprocessing, {"size": (0, 224)}, r"size\[0\]: "),
        (Preprocessing, {"mean": (0.5, float("nan"), 0.5)}, r"mean\[1\]: "),
    ],
)
def test_what_cannot_be_is_refused_by_name(schema, values, said):
    with pytest.raises(UsageError, match=said):
        validated(schema, values)
