"""What SimMIM's network paints on the page, who paints it, and whether a picture is called foreign."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import swinkit
from experiments import strangers
from swinkit import create_model
from swinkit.config import Masking
from swinkit.data.bundled import open_bundled
from swinkit.errors import UsageError
from swinkit.explain.tour import foreign
from swinkit.explain.tour.painting import BUNDLED_PAINTER, choose_painter, masks, ratios, reconstruction
from swinkit.explain.tour.subject import BUNDLED_MODEL, open_subject
from swinkit.model.simmim import COVERED, DROPPED, SimMIM
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described
from swinkit.tasks.pretraining import Reconstruction, sheet
from swinkit.weights.files import read_model, save_model


def file_of(name: str, index: int, folder: Path) -> Path:
    path = folder / f"{name}-{index}.png"
    Image.fromarray(open_bundled(name).read(index).squeeze()).save(path)
    return path


def test_errors_count_every_hidden_pixel_even_one_painted_exactly() -> None:
    original = np.array([[[0.0], [0.5]], [[1.0], [0.2]]])
    hidden = np.array([[True, False], [True, False]])
    error = np.array([[[0.0], [0.0]], [[0.4], [0.0]]])
    row = Reconstruction(original, original, original, error, hidden)
    assert row.loss == pytest.approx(0.2)
    assert row.blind_loss == pytest.approx((0.35 + 0.65) / 2)  # the visible mean is 0.35


@pytest.mark.parametrize(("side", "shown"), [(28, 112), (64, 128), (96, 96), (200, 200)])
def test_a_sheet_shows_small_pictures_enlarged(side: int, shown: int) -> None:
    part = np.zeros((side, side, 4))
    drawn = sheet([Reconstruction(part, part, part, part, part[..., 0] > 0)])
    assert drawn.shape == (shown, 4 * shown + 3 * 6, 3)


def test_each_mask_hides_what_the_one_before_hid_and_more() -> None:
    masking = Masking(cell=4, ratio=0.55)
    drawn = masks((28, 28), masking) == COVERED
    assert ratios(masking) == [0.2, 0.4, 0.55, 0.6, 0.8]
    assert [int(one.sum()) for one in drawn] == [10, 20, 27, 30, 40]
    assert all(bool((after | ~before).all()) for before, after in pairwise(drawn))


def test_sparse_masks_drop_three_of_four_each() -> None:
    drawn = masks((32, 32), Masking(cell=8, sparse=True))
    assert len(drawn) == 4
    assert all(int((one == DROPPED).sum()) == 12 for one in drawn)


def test_the_bundled_network_paints_clothes_it_did_not_learn_from(tmp_path: Path) -> None:
    found = reconstruction(open_subject(file_of("digits", 3, tmp_path)), choose_painter(BUNDLED_MODEL))
    yours, known = found["scenes"]
    assert (found["model"], found["own"], found["start"]) == (BUNDLED_PAINTER, False, 2)
    assert found["learned_from"] == {
        "set": "Fashion-MNIST, training pictures, without labels", "pictures": 59143, "epochs": 30,
    }  # fmt: skip
    learned = known["steps"][found["start"]]
    assert learned["loss"] < 0.25 * learned["blind"]
    assert yours["steps"][found["start"]]["loss"] > 2 * learned["loss"]  # digits are not what it knows


def test_the_log_beside_the_recipe_is_of_the_bundled_network() -> None:
    lines = Path(__file__).parents[3].joinpath("recipes/simmim_run/log.txt").read_text("utf-8").splitlines()
    file = read_model(BUNDLED_PAINTER)
    assert lines[-1].endswith(f"validation: loss {file.metadata['metrics']['validation']['loss']:.4f}")
    assert (
        f"{file.metadata['learned_from']['pictures']:,} pictures, {file.metadata['learned_from']['epochs']} epochs" in lines[0]
    )


def test_a_model_that_was_pre_trained_paints_itself_and_a_classifier_is_refused(tmp_path: Path) -> None:
    file = read_model(BUNDLED_PAINTER)
    torch.manual_seed(0)
    save_model(SimMIM(file.config, Masking(cell=8)), tmp_path / "own", task="pretraining", preprocessing=file.preprocessing)
    chosen = choose_painter(str(tmp_path / "own"))
    assert (chosen.own, chosen.bundled, chosen.painter.network.masking.cell) == (True, False, 8)
    assert reconstruction(open_subject(), chosen)["learned_from"] == {}
    assert choose_painter("swin_t", str(tmp_path / "own")).own is False
    with pytest.raises(UsageError, match="paints nothing"):
        choose_painter("swin_t", BUNDLED_MODEL)


def test_a_picture_of_other_channels_leaves_its_place_to_one_of_clothes(tmp_path: Path) -> None:
    five = Preprocessing(size=(28, 28), channels=5, mean=(0.5,) * 5, std=(0.5,) * 5)
    swinkit.save(described(create_model("swin_nano", num_classes=2, in_channels=5), ("a", "b"), five), tmp_path / "five")
    np.save(tmp_path / "five.npy", np.zeros((30, 40, 5), np.uint8))
    subject = open_subject(tmp_path / "five.npy", str(tmp_path / "five"))
    found = reconstruction(subject, choose_painter(subject.model_name))
    assert ([scene["whose"] for scene in found["scenes"]], found["left_out"]) == (["known"], 5)


def test_a_network_of_pictures_as_they_are_paints_them_so(tmp_path: Path) -> None:
    file = read_model(BUNDLED_PAINTER)
    look = file.preprocessing.model_copy(update={"resize": "none"})
    save_model(SimMIM(file.config, Masking(cell=4)), tmp_path / "own", task="pretraining", preprocessing=look)
    Image.new("L", (60, 44), 90).save(tmp_path / "wide.png")
    found = reconstruction(open_subject(tmp_path / "wide.png", BUNDLED_MODEL), choose_painter("swin_t", str(tmp_path / "own")))
    assert (found["size"], found["cells"]) == ([44, 60], 11 * 15)


def test_a_digit_is_foreign_to_the_clothes_model_and_clothes_are_not(tmp_path: Path) -> None:
    assert foreign.judged(open_subject(file_of("digits", 3, tmp_path)))["foreign"]
    assert not foreign.judged(open_subject(file_of("fashion-mini", 5, tmp_path)))["foreign"]
    assert foreign.judged(open_subject(None, "swin_nano")) is None


def test_rarity_counts_the_asked_picture_in() -> None:
    known = torch.tensor([1.0, 2.0, 9.0])
    assert foreign.rarity(torch.tensor([5.0, 0.0, 10.0]), known).tolist() == [0.5, 1.0, 0.25]
    assert foreign.rarity(known, known, counted=True).tolist() == [0.75, 0.5, 0.25]


def test_the_same_picture_is_no_neighbour() -> None:
    known = torch.tensor([[0.0, 0.0], [3.0, 4.0], [30.0, 40.0]])
    assert foreign.nearest(known, known).tolist() == pytest.approx([5, 5, 45])
    assert foreign.nearest(torch.tensor([[0.0, 1.0]]), known).tolist() == pytest.approx([1])


def test_the_page_gives_the_figures_of_the_trial() -> None:
    found = json.loads(strangers.RESULTS.read_text("utf-8"))["shares"]["all three"]
    assert {kind: found[kind] for kind in foreign.TRIAL} == pytest.approx(foreign.TRIAL, abs=0.0051)


def test_most_digits_are_foreign_and_few_clothes() -> None:
    result = strangers.measure(every=30)
    assert result["shares"]["all three"]["digits"] > 0.8
    assert result["shares"]["all three"]["clothes"] < 0.15
