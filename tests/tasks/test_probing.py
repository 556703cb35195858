"""The head that suits frozen features, against scikit-learn's logistic regression."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from swinkit.config import SwinConfig
from swinkit.data.collection import Collection, Sample
from swinkit.errors import DataError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks.probing import HEAD_DECAY, features, fit_head, make_probe

from ..shaking import shake

COUNT = 40
CONFIG = SwinConfig(
    image_size=16, patch_size=2, in_channels=1, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4, num_classes=3
)
LOOK = Preprocessing(size=(16, 16), resize="squash", channels=1, mean=(0.5,), std=(0.25,))


def collection(multi_label):
    """Noise with a bright band for each label."""
    chance = np.random.default_rng(3)
    labels = [tuple({index % 3, index % 2}) if multi_label else (index % 3,) for index in range(COUNT)]
    pixels = chance.integers(0, 120, (COUNT, 16, 16, 1), np.uint8)
    for index, own in enumerate(labels):
        for label in own:
            pixels[index, 5 * label : 5 * label + 4] += 100
    samples = tuple(Sample(str(index), own) for index, own in enumerate(labels))
    return Collection(Path("memory"), "array", "made", ("a", "b", "c"), samples, multi_label, 1, pixels)


def peer(x, truth):
    """Scores of scikit-learn's regression on the standardised features ``x`` (N, F), for the same objective."""
    regression = LogisticRegression(C=1 / (HEAD_DECAY * len(x)), tol=1e-8, max_iter=5000)
    return regression.fit(x, truth).decision_function(x)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_fitted_head_is_scikit_learns_regression_and_nothing_else_changed(multi_label):
    pictures, model = collection(multi_label), shake(SwinClassifier(CONFIG)).train()
    before, chance = {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.get_rng_state()
    fit_head(model, pictures, range(COUNT), LOOK, seed=0)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert model.training
    assert torch.equal(torch.get_rng_state(), chance)
    pooled = features(model, pictures, range(COUNT), LOOK, 16, 0)
    x, truth = ((pooled - pooled.mean(dim=0)) / pooled.std(dim=0)).numpy(), pictures.label_matrix(range(COUNT))
    expected = np.stack([peer(x, truth[:, label]) for label in range(3)], axis=1) if multi_label else peer(x, truth)
    with torch.inference_mode():
        scores = model.head(pooled).numpy()
    assert np.abs(scores - expected).max() < 0.02 * np.abs(expected).max()


def test_features_are_not_measured_on_nothing():
    with pytest.raises(DataError, match=r"40 pictures to learn from and 0 to judge.*Mend"):
        make_probe(collection(False), range(COUNT), (), 0)
