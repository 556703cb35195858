"""The pointing game itself: who knows where the objects are always hits, who knows nothing hits as often as chance."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from experiments import pointing_game as game
from swinkit.data.bundled import open_bundled
from swinkit.data.scenes import Scenes, open_photographs


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Scenes of the bundled tenth of a tenth of the set, its first classes renamed to the game's."""
    fashion = open_bundled("fashion-mini")
    places = [place for place, sample in enumerate(fashion.samples) if sample.labels[0] < len(game.CLASSES)]
    assert fashion.pixels is not None
    few = replace(
        fashion, classes=game.CLASSES, samples=tuple(fashion.samples[place] for place in places), pixels=fashion.pixels[places]
    )
    return Scenes(few, open_photographs("test"), game.SCENE, seed=1)


class Oracle:
    """Knows the scenes in the order in which the game asks for them: the middle of the box of the class, or of the other one."""

    def __init__(self, scenes: Scenes, count: int, mistaken: bool) -> None:
        self.known = {game.batch_of(scenes, range(i, i + 1))[0].sum().item(): scenes[i] for i in range(count)}
        self.mistaken = mistaken

    def __call__(self, model: nn.Module, images: Tensor, index: int) -> Tensor:
        maps = torch.zeros(len(images), game.SIDE, game.SIDE)
        for image, found in zip(images, maps, strict=True):
            scene = self.known[image[None].sum().item()]
            which = list(scene.labels).index(index)
            left, top, right, bottom = scene.boxes[1 - which if self.mistaken else which]
            found[(top + bottom) // 2, (left + right) // 2] = 1
        return maps


def test_who_knows_always_hits_and_who_mistakes_the_object_never(scenes: Scenes) -> None:
    model = nn.Identity()
    right = game.play(model, Oracle(scenes, 30, mistaken=False), scenes, 30)
    wrong = game.play(model, Oracle(scenes, 30, mistaken=True), scenes, 30)
    assert right["cases"] == wrong["cases"] in range(50, 61)
    assert right["hits"] == 1
    assert right["interval"] == [1, 1]
    assert wrong["hits"] == 0


def test_who_knows_nothing_hits_as_often_as_chance(scenes: Scenes) -> None:
    generator = torch.Generator().manual_seed(0)
    found = game.play(
        nn.Identity(),
        lambda model, images, index: torch.rand(len(images), game.SIDE, game.SIDE, generator=generator),
        scenes,
        200,
    )
    assert found["hits"] == pytest.approx(found["chance"], abs=0.07)


def test_a_preference_for_the_middle_is_no_merit(scenes: Scenes) -> None:
    middle = torch.zeros(game.SIDE, game.SIDE)
    middle[28, 28] = 1
    found = game.play(nn.Identity(), lambda model, images, index: middle.expand(len(images), -1, -1), scenes, 200)
    assert found["hits"] == pytest.approx(found["chance"], abs=0.07)


def test_a_place_for_the_results_is_made_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "sub" / "found.json"

    def ready(version: int, name: str, arguments: Namespace) -> tuple[None, float]:
        assert out.parent.is_dir()
        return None, 0.0

    monkeypatch.setattr(game, "ready", ready)
    monkeypatch.setattr(game, "judge", lambda *_: {})
    monkeypatch.setattr("sys.argv", ["pointing_game", "--versions", "1", "--out", str(out)])
    game.main()
    assert list(json.loads(out.read_text("utf-8"))["models"]) == ["swin_nano"]


def test_every_method_draws_a_map() -> None:
    from swinkit.tasks import create_model, described

    for name in game.MODELS.values():
        model = described(
            create_model(name, num_classes=5, image_size=game.CROP), game.CLASSES, game.PREPROCESSING, True
        ).eval()
        images = torch.randn(2, 3, game.SIDE, game.SIDE, generator=torch.Generator().manual_seed(0))
        for method in game.METHODS.values():
            found = method(model, images, 1)
            assert found.shape == (2, game.SIDE, game.SIDE)
            assert bool(torch.isfinite(found).all())
