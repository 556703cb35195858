import pytest

from swinkit.config import Masking, SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.model.simmim import SimMIM
from swinkit.train.optim import build_optimizers, depth_of, exempt_from_decay, hidden_matrices, set_learning_rate
from swinkit.train.settings import TrainSettings


def build(version=1, **fields):
    config = SwinConfig(
        version=version,
        image_size=16,
        patch_size=2,
        embed_dim=8,
        depths=(1, 2),
        num_heads=(1, 2),
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
