"""``swinkit pretrain`` and what follows it, from the command line."""

import json

import numpy as np
import pytest
from PIL import Image

import swinkit
from swinkit.cli.main import run

from ..train.pictures import write_pictures

OPTIONS = [
    f"--set={text}"
    for text in (
        "swin.embed_dim=8", "swin.depths=[1, 1]", "swin.num_heads=[1, 2]", "swin.window_size=4", "swin.patch_size=2",
        "batch_size=8", "threads=1", "tensorboard=false", "precision=32-true", "workers=0",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with labelled ``stripes`` and a sparse pre-training ``run`` on them."""
    folder = tmp_path_factory.mktemp("pretrain")
    write_pictures(folder / "stripes", test=30)
    arguments = ["--out", str(folder / "run"), "--epochs", "1", "--sparse", "--image-size", "16", "--mask-cell", "2"]
    probe = ["--probe", str(folder / "stripes"), "--no-verdict"]
    assert run(["pretrain", str(folder / "stripes"), *arguments, *probe, *OPTIONS]) == 0
    return folder


def test_a_run_says_what_comes_next_and_has_a_report_with_its_pictures(place, capsys):
    assert run(["pretrain", "--resume", str(place / "run"), "--no-verdict"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(place / "run")
    assert f"--init {place / 'run'}" in printed.err
    page = (place / "run" / "report.html").read_text("utf-8")
    assert 'class="sheet"' in page
    assert "Linear probe" in page
    assert "No verdict: --no-verdict left it out." in page


def test_init_is_another_name_for_model(place, capsys):
    small = ["--epochs", "1", "--set=batch_size=8", "--set=threads=1", "--set=tensorboard=false", "--set=workers=0"]
    arguments = ["train", str(place / "stripes"), "--init", str(place / "run"), "--out", str(place / "tuned")]
    assert run([*arguments, *small]) == 0
    assert "No classes were learned, only pictures" in capsys.readouterr().err
    assert swinkit.load(place / "tuned").classes == ("0", "1", "2")


def test_a_picture_is_painted_anew(place, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)).save(place / "one.png")
    arguments = ["explain", str(place / "run"), str(place / "one.png"), "--reconstruct", "--out", str(place / "why"), "--json"]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["errors"]) == 4
    assert {path.name for path in (place / "why").iterdir()} == {
        "reconstruction.html",
        "reconstruction.png",
        "reconstruction.json",
    }
    assert found == json.loads((place / "why" / "reconstruction.json").read_text("utf-8"))
    with Image.open(place / "why" / "reconstruction.png") as image:
        width, height = image.size
    assert (width, height) == (4 * 96 + 3 * 6, 4 * 96 + 3 * 6)


def test_the_page_counts_the_cells_that_are_hidden(place):
    """Six tenths of 49 cells are 30, the smallest number that is not less: 61%."""
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(place / "square.png")
    out = place / "counted"
    assert (
        run(["explain", "swin_nano.simmim_fashion_mnist", str(place / "square.png"), "--reconstruct", "--out", str(out)]) == 0
    )
    assert "with 61% of it hidden, in cells of 4 pixels" in (out / "reconstruction.html").read_text("utf-8")


def test_inspect_says_that_a_sparse_decoder_goes_nowhere_as_it_is(place, capsys):
    assert run(["inspect", str(place / "run")]) == 0
    assert "nothing as it is, see convert --backbone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pretrain"], 2, "What shall be learned from?"),
        (["pretrain", "{place}/stripes", "--image-size", "8x"], 2, "is no size"),
        (["pretrain", "{place}/stripes", "--mask-cell", "3", "--dry-run"], 2, "no multiple of the patch"),
        (["pretrain", "{place}/stripes", "--sparse", "--mask-cell", "16", "--dry-run"], 2, "its cells are one of"),
        (["pretrain", "{place}/stripes", "--mask-cell", "64", "--dry-run"], 2, "28x28 pixels all 1 cells are hidden"),
        (["pretrain", "{place}/stripes", "--mask-ratio", "0.999", "--dry-run"], 2, "nothing is left to see"),
        (["pretrain", "{place}/stripes", "--sparse", "--set", "covered=0.999", "--dry-run"], 2, "covered 0.999 of those kept"),
        (["pretrain", "{place}/stripes", "--set", "normalise=4", "--dry-run"], 2, "normalise is 4"),
        (["pretrain", "{place}/stripes", "--sparse", "--mask-ratio", "0.5", "--dry-run"], 2, "Mend: --set covered=SHARE"),
        (["pretrain", "{place}/stripes", "--sparse", "--set", "ratio=0.5", "--dry-run"], 2, "Mend: --set covered=SHARE"),
        (["pretrain", "{place}/stripes", "--set", "covered=0.5", "--dry-run"], 2, "or add --sparse"),
        (["pretrain", "{place}/stripes", "--set", "probe_every=2", "--dry-run"], 2, "name the set, --probe DATA"),
        (["pretrain", "{place}/stripes", "--no-verdict", "--dry-run"], 2, "Without --probe there is no verdict"),
        (["pretrain", "{place}/stripes", "--init", "swin_x", "--dry-run"], 2, "no model or variant 'swin_x'"),
        (["evaluate", "{place}/run", "{place}/stripes"], 2, "pre-trained without labels gives no answers"),
        (["explain", "{place}/run", "{place}/one.png", "--reconstruct", "--no-trust"], 2, "no use for --no-trust"),
        (["pretrain", "{place}/stripes", "--set", "mixup=1"], 2, "No such setting 'mixup'"),
        (["pretrain", "--resume", "{place}/run", "--sparse", "--set", "covered=0.5"], 2, "covered was 0.25, is now 0.5"),
        (["train", "--resume", "{place}/run"], 2, "Mend: swinkit pretrain --resume"),
        (["pretrain", "--resume", "{place}/run", "--dry-run"], 2, "leave --out and --dry-run out"),
        (["predict", "{place}/run", "{place}/stripes"], 2, "pre-trained without labels gives no answers"),
        (["explain", "swin_nano.fashion_mnist", "{place}/one.png", "--reconstruct"], 2, "paints nothing"),
        (["explain", "{place}/run", "{place}/one.png"], 2, "no answer to explain. Mend: --reconstruct"),
        (["explain", "{place}/run", "{place}/one.png", "--reconstruct", "--atlas"], 2, "no use for --atlas"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(words, code, said, place, capsys):
    Image.new("L", (20, 20)).save(place / "one.png")
    assert run([word.format(place=place) for word in words]) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_the_cost_of_a_verdict_is_told_before_the_start(place, capsys):
    assert run(["pretrain", str(place / "stripes"), "--probe", str(place / "stripes"), "--dry-run"]) == 0
    judged, cost, *_ = capsys.readouterr().err.splitlines()
    assert judged == "Features are judged on 30 labelled pictures."
    assert "The verdict will take two trainings on 42 labelled pictures" in cost
    assert run(["pretrain", str(place / "stripes"), "--probe", str(place / "stripes"), "--no-verdict", "--dry-run"]) == 0
    assert "verdict" not in capsys.readouterr().err
