"""A model that is more than its configuration makes: no engine passes over what it does otherwise, and "eager" answers as it does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from swinkit.model.block import post_norm
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.runtime import engines
from swinkit.runtime.engines.eager import ask
from swinkit.runtime.predictor import Predictor

from .models import model_of

pytestmark = pytest.mark.usefixtures("own_memory")


def scaled(module, given, answer):
    return 0.5 * answer


class Adapter(nn.Module):
    """A linear layer with something beside it, which gives its weight to whoever asks."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    weight, bias = property(lambda self: self.layer.weight), property(lambda self: self.layer.bias)

    def forward(self, x):
        return self.layer(x) + x.mean()


CHANGES = {
    "another activation": lambda block: setattr(block.mlp, "act", nn.ReLU()),
    "the activation by its approximation": lambda block: setattr(block.mlp, "act", nn.GELU("tanh")),
    "an adapter": lambda block: setattr(block.attention, "qkv", Adapter(block.attention.qkv)),
    "a hook": lambda block: block.attention.proj.register_forward_hook(scaled),
    "a hook on a block": lambda block: block.register_forward_hook(scaled),
    "a forward of its own": lambda block: setattr(block.mlp, "forward", lambda x: 0 * x),
    "a method of its own": lambda block: setattr(
        block.attention, "within", lambda windows, mask: windows.new_zeros(*windows.shape[:3], block.attention.heads, 32)
    ),
    "a branch of its own": lambda block: setattr(
        block, "branch", lambda norm, layer, drop, x, *rest: x + 2 * drop(layer(norm(x), *rest))
    ),
    "the other version's branch": lambda block: setattr(block, "branch", post_norm),
    "another epsilon": lambda block: setattr(block.norm1, "eps", 0.1),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("engine", ["native", "auto"])
def test_what_folding_would_pass_over_is_heard(change, engine, capsys):
    model, images = model_of(1), torch.randn(2, 3, 64, 64)
    CHANGES[change](model.backbone.stages[1].blocks[0])
    engines._said.clear()
    run = engines.build(model, shape=tuple(images.shape), engine=engine)
    with torch.no_grad():
        torch.testing.assert_close(run(images), model(images))
    assert run.name == "eager"
    assert "eager is used instead" in capsys.readouterr().err


class Listener:
    def __init__(self):
        self.heard = 0

    def hear(self, module, given, answer):
        self.heard += 1


@pytest.mark.parametrize("engine", ["eager", "native"])
def test_the_one_who_hooked_hears_and_a_hook_at_the_model_decides(engine):
    model, images, listener = model_of(1), torch.randn(1, 3, 64, 64), Listener()
    model.norm.register_forward_hook(listener.hear)
    model.register_forward_hook(lambda module, given, answer: 0 * answer)
    assert not engines.build(model, shape=tuple(images.shape), engine=engine)(images).any()
    assert listener.heard == 1


@pytest.mark.parametrize("engine", ["eager", "native"])
def test_a_hook_at_the_backbone_is_heard(engine):
    model, images = model_of(1), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = model(images)
    model.backbone.register_forward_hook(lambda module, given, maps: [-2 * one for one in maps])
    with torch.no_grad():
        heard = model(images)
    assert not torch.allclose(heard, plain)
    torch.testing.assert_close(engines.build(model, shape=tuple(images.shape), engine=engine)(images), heard)


class Tripled(SwinClassifier):
    def forward(self, images):
        return 3 * super().forward(images) + 1


class Flipped(SwinClassifier):
    """Calls its head for each picture twice."""

    def forward(self, images):
        return super().forward(images) + super().forward(images.flip(3))


class Headless(SwinClassifier):
    def forward(self, images):
        return self.pooled(images)[:, :5]


def own(kind):
    model = model_of(1)
    if kind is SwinClassifier:
        model.forward = lambda images: 2 - model.head(model.pooled(images))
    model.__class__ = kind
    return model


@pytest.mark.parametrize("kind", [Tripled, Flipped, Headless, SwinClassifier])
@pytest.mark.parametrize("num_classes", [5, 0])
def test_a_forward_of_the_models_own_is_what_answers(kind, num_classes):
    model, images = own(kind), torch.randn(2, 3, 64, 64)
    if not num_classes:
        model.head = nn.Identity()
    logits, pooled = engines.build(model, shape=tuple(images.shape), engine="native").answers(images)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(images))
        torch.testing.assert_close(pooled, model.pooled(images))


@pytest.mark.parametrize("by_engine", [True, False])
def test_a_predictor_asks_the_forward_of_a_models_own(by_engine, monkeypatch):
    if not by_engine:
        monkeypatch.setattr("swinkit.runtime.predictor.SwinClassifier", int)
    model, pictures = own(Tripled), torch.rand(2, 3, 64, 64)
    model.classes, model.preprocessing = (
        tuple("abcde"),
        Preprocessing(size=(64, 64), resize="none", mean=(0, 0, 0), std=(1, 1, 1)),
    )
    with torch.no_grad():
        expected, embeddings = model(pictures).softmax(1), model.pooled(pictures)
    for place, answer in enumerate(Predictor(model).stream(pictures, embeddings=True)):
        assert answer.probabilities == pytest.approx(expected[place].tolist(), abs=1e-5)
        assert answer.embedding == pytest.approx(embeddings[place].tolist(), abs=1e-5)


def test_a_model_that_torch_compiles_is_asked_without_its_graph():
    """To hear in a graph what the head is given would break it."""
    images = torch.randn(1, 3, 64, 64)
    for whole in (True, False):
        model = model_of(1)
        with torch.no_grad():
            expected = model(images)
        model.preprocessing = Preprocessing(size=(64, 64))
        if whole:
            answer = torch.compile(model, fullgraph=True, backend="eager")
        else:
            model.compile(fullgraph=True, backend="eager")
            answer = model
        with torch.no_grad():
            logits, pooled = ask(answer, images)
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(model.head(pooled), expected)
