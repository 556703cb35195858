"""Which engine "auto" takes: what is measured, remembered, and passed over."""

from __future__ import annotations

import json

import pytest

from swinkit.runtime import choices, engines
from swinkit.runtime.engines import choice, eager, native

from .models import model_of

pytestmark = pytest.mark.usefixtures("own_memory")


def test_a_remembered_engine_is_not_trusted_with_other_weights(monkeypatch):
    monkeypatch.setattr(engines, "candidates", lambda thorough: ["eager", "native"])
    choice.remember(choice.identity(model_of(1), "float32", (1, 3, 64, 64), ["eager", "native"]), "native")
    monkeypatch.setattr(choice, "agrees", lambda *given: False)
    assert engines.build(model_of(1), shape=(1, 3, 64, 64)).name == "eager"


def test_auto_measures_and_remembers(monkeypatch):
    model, asked = model_of(1), []
    original = choice.in_turn
    monkeypatch.setattr(choice, "in_turn", lambda *given, **more: asked.append(1) or original(*given, **more))
    monkeypatch.setattr(engines, "candidates", lambda thorough: ["eager", "native"])
    first = engines.build(model, shape=(1, 3, 64, 64))
    assert asked
    asked.clear()
    assert engines.build(model, shape=(1, 3, 64, 64)).name == first.name
    assert not asked
    monkeypatch.setattr(choice, "sources_digest", lambda: "kernels of another release")
    assert engines.build(model, shape=(1, 3, 64, 64)).name in {"eager", "native"}
    assert asked
    asked.clear()
    choices.place().write_text("{ not json")
    assert engines.build(model, shape=(1, 3, 64, 64)).name in {"eager", "native"}
    assert asked
    assert json.loads(choices.place().read_text())


@pytest.mark.parametrize(("share", "chosen"), [(0.97, "native"), (0.9, "onednn")])
def test_auto_leaves_the_native_engine_for_a_clearly_faster_one_only(share, chosen, monkeypatch):
    seconds = {"eager": 2.0, "native": 1.0, "onednn": share}
    monkeypatch.setattr(engines, "candidates", lambda thorough: list(seconds))
    monkeypatch.setattr(choice, "in_turn", lambda runs, *_, **__: {name: [seconds[name]] for name in runs})
    assert engines.build(model_of(1), shape=(1, 3, 32, 32)).name == chosen


def test_a_remembered_engine_that_no_longer_builds_is_passed_over(monkeypatch):
    model, names = model_of(1), ["eager", "openvino"]
    monkeypatch.setattr(engines, "candidates", lambda thorough: names)
    choice.remember(choice.identity(model, "float32", (1, 3, 64, 64), names), "openvino")

    def build(model, precision, shape):
        raise OSError("libopenvino.so: cannot open shared object file")

    monkeypatch.setattr(engines, "_builder", lambda name: {"eager": eager.build, "openvino": build}[name])
    assert engines.build(model, shape=(1, 3, 64, 64)).name == "eager"


def test_auto_without_a_home_folder_measures_each_time(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(choices, "cache_folder", nowhere)
    choice.remember("key", "native")
    assert choice.remembered() == {}


def test_auto_passes_over_an_engine_that_answers_wrongly_or_fails(monkeypatch):
    monkeypatch.setattr(engines, "candidates", lambda thorough: ["eager", "native", "openvino"])
    right = native.build

    def wrong(model, precision, shape):
        program = right(model, precision, shape)
        return lambda images: tuple(part + 1 for part in program(images))

    def failing(model, precision, shape):
        raise RuntimeError("another library's fault")

    monkeypatch.setattr(engines, "_builder", lambda name: {"native": wrong, "openvino": failing, "eager": eager.build}[name])
    assert engines.build(model_of(1), shape=(1, 3, 64, 64)).name == "eager"
