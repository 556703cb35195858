import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from swinkit.config import Masking, SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.model.simmim import SimMIM
from swinkit.train.optim import (
    build_optimizers,
    depth_of,
    exempt_from_decay,
    hidden_matrices,
    parameter_groups,
    set_learning_rate,
)
from swinkit.train.settings import TrainSettings

SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)  # depths


def build(version=1, depths=(1, 2), **fields):
    config = SwinConfig(
        version=version,
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=depths,
        num_heads=tuple(2**stage for stage in range(len(depths))),
        window_size=4,
        num_classes=3,
        **fields,
    )
    return SwinClassifier(config)


@pytest.mark.parametrize("version", [1, 2])
def test_only_matrices_of_layers_decay(version):
    model = build(version, ape=True)
    decaying = {name for name, _ in model.named_parameters()} - exempt_from_decay(model)
    endings = ("proj.weight", "qkv.weight", "fc1.weight", "fc2.weight", "reduction.weight", "head.weight")
    assert decaying
    assert all(name.endswith(endings) for name in decaying)
    assert not any("bias" in name or "norm" in name or "position" in name or "similarity" in name for name in decaying)
    expected = 1 + 3 * 4 + 1 + 1  # patch embedding, three blocks of four layers, one merging, head
    assert len(decaying) == expected


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_parameter_belongs_to_one_optimiser_once(optimizer):
    model = build(2, ape=True)
    optimizers = build_optimizers(model, TrainSettings(optimizer=optimizer, lr=1e-3, layer_decay=0.8))
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())


def test_muon_turns_the_matrices_between_tokens_alone():
    names = hidden_matrices(build(2))
    assert len(names) == 3 * 4 + 1  # three blocks of four layers, one merging
    assert not any("patch_embed" in name or "head" in name or ".bias." in name for name in names)


def test_depth_counts_blocks_and_merging_goes_with_the_block_after_it():
    depths = (1, 2)
    names = {
        "backbone.patch_embed.proj.weight": 0,
        "backbone.stages.0.blocks.0.norm1.weight": 1,
        "backbone.stages.1.merge.reduction.weight": 2,
        "backbone.stages.1.blocks.0.mlp.fc1.weight": 2,
        "backbone.stages.1.blocks.1.mlp.fc1.weight": 3,
        "norm.weight": 4,
        "head.weight": 4,
    }
    assert {name: depth_of(name, depths) for name in names} == names


@pytest.mark.parametrize("masking", [Masking(cell=4), Masking(cell=2, sparse=True)], ids=str)
def test_tokens_that_stand_for_what_is_hidden_do_not_decay(masking):
    model = SimMIM(build().config, masking)
    tokens = {name for name, _ in model.named_parameters() if name.endswith("_token")}
    assert tokens
    assert tokens <= exempt_from_decay(model)


def test_the_stem_learns_slowest_and_the_head_at_full_rate():
    model = build()
    (optimizer,) = build_optimizers(model, TrainSettings(optimizer="adamw", lr=1.0, layer_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    rate = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert rate[id(model.head.weight)] == pytest.approx(0.1)
    assert rate[id(model.backbone.patch_embed.proj.weight)] == pytest.approx(0.1 * 0.5**4)


class Used(TorchFunctionMode):
    """Notes the parameters that computing asks for, in the order in which it first does."""

    def __init__(self, model):
        super().__init__()
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.order = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.order |= {name: None for leaf in tree_leaves((args, kwargs)) if (name := self.names.get(id(leaf)))}
        return func(*args, **(kwargs or {}))


@settings(max_examples=20)
@given(version=st.sampled_from((1, 2)), depths=SHAPES, ape=st.booleans())
def test_depth_never_falls_on_the_way_forward(version, depths, ape):
    model = build(version, depths, ape=ape)
    with torch.no_grad(), Used(model) as used:
        model(torch.zeros(1, 3, 16, 16))
    assert set(used.order) == {name for name, _ in model.named_parameters()}
    found = [depth_of(name, depths) for name in used.order]
    assert found == sorted(found)
    assert set(found) == set(range(sum(depths) + 2))


@settings(max_examples=20)
@given(version=st.sampled_from((1, 2)), depths=SHAPES, decay=st.floats(0.3, 1), drawn=st.data())
def test_each_parameter_has_one_group_and_the_share_of_its_depth(version, depths, decay, drawn):
    model = build(version, depths, ape=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    asked = set(drawn.draw(st.lists(st.sampled_from(sorted(names.values())), unique=True), label="asked"))
    groups = parameter_groups(model, TrainSettings(layer_decay=decay, weight_decay=0.1), asked)
    grouped = [(names[id(parameter)], group) for group in groups for parameter in group["params"]]
    assert sorted(name for name, _ in grouped) == sorted(asked)
    for name, group in grouped:
        assert group["scale"] == pytest.approx(decay ** (sum(depths) + 1 - depth_of(name, depths)))
        assert group["weight_decay"] == (0.0 if name in exempt_from_decay(model) else 0.1)
