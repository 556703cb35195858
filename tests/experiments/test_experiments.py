"""The experiments in tiny form: they run, change what they say they change, and judge as they should."""

from __future__ import annotations

import json
import runpy
import sys
from xml.etree import ElementTree

import pytest
import torch

from experiments import amplitudes, position, shift, table, vit, window_growth
from experiments.budget import budget
from experiments.mechanism import Budget, Claim, configuration, interval, judged
from swinkit.data.bundled import fashion_folder
from swinkit.errors import DataError
from swinkit.model.classifier import SwinClassifier

from ..shaking import shake

TINY = Budget(pictures=64, seeds=2, test=50)
IMAGES = torch.linspace(-1, 1, 28 * 28).view(1, 1, 28, 28).sin()


def fashion_is_here() -> bool:
    try:
        fashion_folder()
    except DataError:
        return False
    return True


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(not fashion_is_here(), reason="full Fashion-MNIST is not installed (Debian's dataset-fashion-mnist)")
@pytest.mark.parametrize("experiment", [shift, position, window_growth, amplitudes, vit], ids=lambda module: module.__name__)
def test_it_runs_and_keeps_what_it_found(experiment, tmp_path):
    result = experiment.run(TINY, tmp_path)
    name = experiment.__name__.rpartition(".")[2]
    stored = json.loads((tmp_path / f"{name}.json").read_text())
    assert stored["command"] == f"python -m experiments.{name} --pictures 64 --seeds 2 --test 50"
    assert [claim["verdict"] for claim in stored["claims"]] == [claim["verdict"] for claim in result["claims"]]
    assert all(claim["paper"] and claim["difference"]["low"] is not None for claim in stored["claims"])
    assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_verdict_needs_an_interval_that_leaves_zero_out():
    claim = Claim("a is above b", "nowhere")
    assert judged(claim, [3.0, 3.1, 2.9], [1.0, 1.0, 1.0])["verdict"] == "agrees"
    assert judged(claim, [1.0, 1.0, 1.0], [3.0, 3.1, 2.9])["verdict"] == "disagrees"
    assert judged(claim, [1.0, 3.0], [2.0, 2.0])["verdict"].startswith("undecided")
    assert judged(claim, [3.0], [1.0])["verdict"].startswith("undecided")
    assert interval([1.0, 2.0, 3.0])["high"] == pytest.approx(2 + 4.303 / 3**0.5, abs=1e-3)


def same_weights(build, other):
    model, changed = shake(build()), other()
    changed.load_state_dict(model.state_dict(), strict=False)
    return model, changed.eval()


@torch.no_grad()
def test_without_a_shift_windows_of_the_first_stage_never_meet():
    for build, meet in ((lambda: shift.shifted(7), True), (lambda: shift.unshifted(7), False)):
        model = shake(build())
        stage = model.backbone.stages[0]
        x = model.backbone.embed(IMAGES)
        changed = x.clone()
        changed[:, 0, 0] += 1  # in the window of the upper left quarter
        assert torch.equal(stage(x)[:, 7:, 7:], stage(changed)[:, 7:, 7:]) != meet


@torch.no_grad()
def test_without_position_a_window_does_not_know_the_order_of_its_patches():
    model = shake(position.unbiased(ape=False))
    block, x = model.backbone.stages[0].blocks[0], torch.randn(1, 7, 7, 32)
    grid = position_grid(x)
    turned = torch.flip(x, (1, 2))
    torch.testing.assert_close(torch.flip(block(turned, grid), (1, 2)), block(x, grid), rtol=1e-4, atol=1e-4)
    block = shake(position.relative()).backbone.stages[0].blocks[0]
    assert not torch.allclose(torch.flip(block(turned, grid), (1, 2)), block(x, grid), atol=1e-2)


def position_grid(x):
    from swinkit.model.windows import WindowGrid

    return WindowGrid.regular(x, (7, 7))


def test_the_arms_of_a_comparison_differ_in_what_is_compared_only():
    assert {name for name, _ in shift.shifted(7).named_parameters()} == {
        name for name, _ in shift.unshifted(7).named_parameters()
    }
    names = {name for name, _ in position.relative().named_parameters()}
    without = {name for name, _ in position.unbiased(ape=False).named_parameters()}
    assert without < names
    assert all(name.endswith("bias.table") for name in names - without)
    absolute = {name for name, _ in position.unbiased(ape=True).named_parameters()}
    assert absolute - without == {"backbone.patch_embed.position"}


@pytest.mark.parametrize("version", [1, 2])
@torch.no_grad()
def test_a_grown_window_keeps_every_weight_but_the_table(version):
    model = shake(SwinClassifier(configuration(version)))
    larger = window_growth.grown(model, 56)
    assert [larger.config.stage_window(stage)[0] for stage in range(3)] == [14, 14, 7]
    for name, weight in model.state_dict().items():
        assert name.endswith("bias.table") or torch.equal(weight, larger.state_dict()[name])
    assert larger(torch.zeros(1, 1, 56, 56)).isfinite().all()


def test_amplitudes_follow_the_blocks():
    for build in (amplitudes.pre, amplitudes.post):
        found = amplitudes.amplitudes(build().eval(), IMAGES)
        assert len(found) == 1 + sum(amplitudes.DEPTHS)
    assert found[1] == found[0]  # branches of the network with norms after begin at zero


def test_vit_costs_as_much_as_swin_nano():
    cost = vit.macs()
    assert cost["ViT"][28] / cost["swin_nano"][28] == pytest.approx(1, abs=0.03)
    assert vit.vit(28)(IMAGES).shape == (1, 10)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # imported above
@pytest.mark.parametrize("module", ["shift", "position", "window_growth", "amplitudes", "vit", "__main__"])
def test_each_is_one_command_that_explains_itself(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module(f"experiments.{module}", run_name="__main__")
    assert "--seeds" in capsys.readouterr().out


def test_the_budgets_of_pretraining_are_what_the_results_say():
    text = table.BUDGETS.read_text(encoding="utf-8")
    assert text.count("<!-- budget: ") == 2
    assert table.render_budgets(text) == text, "To render it anew: python -m experiments.table"
    assert table.render_budgets("<!-- results: shift -->\nkept\n<!-- end of results -->").count("kept") == 1


@pytest.mark.parametrize("name", ["simmim_pays", "sparse"])
def test_a_budget_tells_what_the_experiment_chose_by_itself(name):
    result = json.loads((table.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    header, *rows = budget(result)
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    for row in rows:
        cells = dict(zip(header, row, strict=True))
        labels = int(cells["labels"].replace(",", ""))
        told = result["summary"][f"top-1 with {labels} labels"][cells["start"]]["mean"]
        assert cells["top-1"] == f"{told:.1%}"
    compared = [claim for claim in result["claims"] if "labels above" in claim["text"]]
    assert sum(row[-1] != "–" for row in rows) == len(compared)


def test_the_page_of_claims_is_what_the_results_say():
    text = table.PAGE.read_text(encoding="utf-8")
    assert table.render(text) == text
    for path in table.RESULTS.glob("*.json"):
        claims = json.loads(path.read_text(encoding="utf-8")).get("claims", ())
        assert all(f"| {claim['text']}." in text and f"| {claim['verdict']} |" in text for claim in claims), path.name
    assert "stale" not in table.render("<!-- results: shift -->\nstale\n<!-- end of results -->")
    assert "python -m experiments.nothing" in table.render("<!-- results: nothing -->\n<!-- end of results -->")
