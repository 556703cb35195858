"""Every engine answers as the model does, at any size and for every version."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._dynamo.config import recompile_limit
from torch._dynamo.utils import counters

from swinkit.cli.bench import command as bench
from swinkit.cli.predict import command as predict
from swinkit.devices import threads
from swinkit.errors import MissingExtra, UsageError
from swinkit.runtime import engines, kinds
from swinkit.runtime.engines import choice, compiled, native

from .models import model_of

SIZES = [(64, 64), (37, 150), (90, 112)]


pytestmark = pytest.mark.usefixtures("own_memory")

KINDS = {
    "v1": {"version": 1}, "v1 dense, ape": {"version": 1, "geometry": "dense", "ape": True}, "v2": {"version": 2},
    "v2, extra norm, moved window": {"version": 2, "extra_norm_every": 2, "pretrained_window_sizes": (5, 5, 4)},
    "no projection bias": {"version": 1, "qkv_bias": False}, "heads of 8": {"version": 1, "num_heads": (4, 8, 16)},
    "widths that no kernel takes": {"version": 2, "embed_dim": 24, "num_heads": (3, 6, 12)}, "patch 3, 2 channels": {"version": 1, "patch_size": 3, "in_channels": 2},
}  # fmt: skip


def check_native_answers_as_the_model(kind, size):
    """Returns the program that answered."""
    model = model_of(**KINDS[kind])
    images = torch.randn(2, model.config.in_channels, *size)
    run = engines.build(model, shape=tuple(images.shape), engine="native")
    logits, pooled = run.answers(images)
    with torch.no_grad():
        for answer, expected in ((logits, model(images)), (pooled, model.pooled(images))):
            assert (answer - expected).abs().max() < 1e-5 * expected.abs().max()
    return run.program(tuple(images.shape))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_native_answers_as_the_model(kind, size):
    check_native_answers_as_the_model(kind, size)


@pytest.mark.parametrize("engine", ["eager", "native", "onednn", "openvino"])
def test_a_model_without_head_gives_its_embedding(engine):
    model, images = model_of(1, num_classes=0), torch.randn(2, 3, 64, 64)
    answer = engines.build(model, shape=tuple(images.shape), engine=engine)(images)
    with torch.no_grad():
        torch.testing.assert_close(answer, model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["eager", "native", "onednn", "openvino", "onnxruntime"])
def test_threads_that_ask_at_once_get_their_own_answers(engine):
    model = model_of(1, depths=(2, 2), num_heads=(1, 2))
    run = engines.build(model, shape=(1, 3, 32, 32), engine=engine)
    pictures = torch.randn(8, 1, 3, 32, 32)
    with torch.no_grad():
        expected = [model(images) for images in pictures]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda place: run(pictures[place % 8]), range(200)))
    for place, answer in enumerate(answers):
        torch.testing.assert_close(answer, expected[place % 8], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ["native", "onednn"])
def test_a_model_in_half_precision_is_taken_for_what_its_weights_say(engine):
    model, images = model_of(2).bfloat16(), torch.randn(2, 3, 64, 64)
    run = engines.build(model, shape=tuple(images.shape), engine=engine)
    with torch.no_grad():
        torch.testing.assert_close(run(images), model.float()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("engine", ["eager", "native", "onednn"])
@pytest.mark.parametrize("kind", ["v1", "v1 dense, ape", "v2", "heads of 8"])
def test_no_pictures_get_no_answers(engine, kind):
    run = engines.build(model_of(**KINDS[kind]), shape=(1, 3, 64, 64), engine=engine)
    assert [tuple(answer.shape) for answer in run.answers(torch.empty(0, 3, 64, 64))] == [(0, 5), (0, 128)]


@pytest.mark.parametrize("engine", ["compiled", "openvino", "onnxruntime"])
def test_for_no_pictures_no_program_is_built(engine):
    answers = engines.Run(model_of(2), engine, "float32").answers(torch.empty(0, 3, 64, 64))
    assert [tuple(answer.shape) for answer in answers] == [(0, 5), (0, 128)]


@pytest.mark.parametrize("engine", ["eager", "native", "onednn", "openvino", "onnxruntime"])
def test_every_engine_takes_the_same_pictures(engine):
    model = model_of(1, depths=(1,), num_heads=(1,))
    run, images = engines.build(model, shape=(2, 3, 32, 32), engine=engine), torch.randint(0, 2, (2, 3, 32, 32))
    expected = run(images.float())
    in_another_order = images.float().contiguous(memory_format=torch.channels_last)
    for given in (images.double(), images.bfloat16(), images.byte(), images.float().requires_grad_(), in_another_order):
        torch.testing.assert_close(run(given), expected, rtol=0, atol=1e-6)


def test_a_copy_of_an_engine_is_the_engine_and_a_pickle_is_refused_with_its_mend():
    engine = engines.build(model_of(1), engine="native", shape=(1, 3, 64, 64))
    assert copy.copy(engine) is copy.deepcopy({"engine": engine})["engine"] is engine
    with pytest.raises(TypeError, match=r"Mend: pickle the model, or a swinkit\.Predictor"):
        pickle.dumps(engine)


@pytest.mark.parametrize("engine", ["eager", "native", "openvino", "onnxruntime"])
def test_others_may_learn_from_what_an_engine_answers(engine):
    run = engines.build(model_of(1, depths=(1,), num_heads=(1,)), shape=(2, 3, 32, 32), engine=engine)
    probe = nn.Linear(32, 2)
    for answer in run.answers(torch.randn(2, 3, 32, 32)):
        answer += 1
    probe(run.answers(torch.randn(2, 3, 32, 32))[1]).sum().backward()
    assert probe.weight.grad.any()


@pytest.mark.parametrize("version", [1, 2])
def test_native_without_a_kernel_answers_the_same(version, monkeypatch):
    monkeypatch.setattr(native.attentions, "supports_attention", lambda *_: False)
    monkeypatch.setattr(native.layers, "supports_linear", lambda *_: False)
    monkeypatch.setattr(native.norms, "supports_norm", lambda *_: False)
    monkeypatch.setattr(native.stages, "KERNEL", SimpleNamespace(available=False))
    program = check_native_answers_as_the_model(f"v{version}", (90, 112))
    by_kernels = native.KernelDense | native.KernelNorm | native.KernelAttention | native.WholeStage
    assert [part for part in program.modules() if isinstance(part, by_kernels)] == []
    assert program.embed.patches is native.cut_by_reshape


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("version", [1, 2])
def test_an_engine_for_one_shape_answers_as_the_model(engine, version):
    model = model_of(version, depths=(2, 2), num_heads=(1, 2))
    run = engines.build(model, shape=(2, 3, 37, 64), engine=engine)
    for size in [(37, 64), (56, 50)]:  # the second is built when it is first asked for
        images = torch.randn(2, 3, *size)
        logits, pooled = run.answers(images)
        with torch.no_grad():
            torch.testing.assert_close(logits, model(images), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(pooled, model.pooled(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_compiled_serves_tensors_of_either_mode(version):
    """A second graph would be one without frozen weights."""
    model = model_of(version, depths=(2,), num_heads=(1,))
    run = engines.build(model, shape=(2, 3, 40, 64), engine="compiled")
    images, graphs = torch.randn(2, 3, 40, 64), counters["stats"]["unique_graphs"]
    with torch.inference_mode():
        expected, others = model(images), images.clone()
    for given in (images, others):
        torch.testing.assert_close(run(given), expected, rtol=1e-4, atol=1e-4)
    assert graphs > 0
    assert counters["stats"]["unique_graphs"] == graphs


def test_more_programs_are_compiled_in_a_process_than_torch_takes_for_one_function(monkeypatch):
    compile_by = nn.Module.compile
    # which is compiled in no time
    monkeypatch.setattr(nn.Module, "compile", lambda network, **how: compile_by(network, backend="eager", **how))
    model = model_of(1, depths=(1,), num_heads=(1,))
    shapes = [(1, 3, 32, 32 + 4 * place) for place in range(recompile_limit + 2)]
    programs = [compiled.build(model, "float32", shape) for shape in shapes]
    graphs = counters["stats"]["unique_graphs"]
    for program, shape in zip(programs, shapes, strict=True):
        images = torch.randn(shape)
        for given in (images, images.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(program(given)[0], model(images).detach(), rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == graphs
    with threads(torch.get_num_threads() + 1):
        torch.testing.assert_close(programs[-1](images)[0], model(images).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["eager", "native", "onednn"])
def test_bfloat16_differs_by_its_rounding_only(engine, monkeypatch):
    monkeypatch.setattr(engines, "computes_bfloat16", lambda device: True)
    model, images = model_of(1), torch.randn(2, 3, 64, 64)
    run = engines.build(model, precision="bfloat16", shape=tuple(images.shape), engine=engine)
    answer = run(images)
    with torch.no_grad():
        expected = model(images)
    assert answer.dtype == torch.float32
    assert 0 < (answer - expected).abs().max() < 0.05 * expected.abs().max()


def test_without_the_hardware_bfloat16_is_float32_and_said_once(monkeypatch, capsys):
    monkeypatch.setattr(engines, "computes_bfloat16", lambda device: False)
    monkeypatch.setattr(engines, "_said", set())
    for _ in range(2):
        assert engines.build(model_of(1), precision="bfloat16", shape=(1, 3, 64, 64), engine="eager").precision == "float32"
    assert capsys.readouterr().err.count("float32 is used instead") == 1


def test_an_engine_without_bfloat16_is_float32_and_says_so(monkeypatch, capsys):
    """Its row in a benchmark would else be called what it is not."""
    monkeypatch.setattr(engines, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(engines, "_said", set())
    monkeypatch.setattr(engines, "_builder", lambda name: lambda model, precision, shape: precision)
    run = engines.build(model_of(1), precision="bfloat16", shape=(1, 3, 64, 64), engine="onnxruntime")
    assert (run.precision, run.program((1, 3, 64, 64))) == ("float32", "float32")
    assert "onnxruntime does not compute in bfloat16" in capsys.readouterr().err


def test_an_engine_is_of_the_model_as_it_was():
    model, images = model_of(1), torch.randn(1, 3, 64, 64)
    run = engines.build(model, shape=(1, 3, 64, 64), engine="native")
    before = run(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    assert torch.equal(run(images), before)


def test_pictures_of_many_sizes_do_not_fill_the_memory(monkeypatch):
    built = []
    monkeypatch.setattr(engines, "_builder", lambda name: lambda model, precision, shape: built.append(shape) or shape)
    run = engines.Run(model_of(1), "openvino", "float32")
    shapes = [(1, 3, 32, side) for side in range(32, 32 + engines.MOST_PROGRAMS)]
    for shape in [*shapes, shapes[0], (1, 3, 8, 8), shapes[0]]:
        assert run.program(shape) == shape
    assert built == [*shapes, (1, 3, 8, 8)]
    run.program(shapes[1])  # the one that was not used for longest had to go
    assert built[-1] == shapes[1]
    assert len(run._programs) == engines.MOST_PROGRAMS


def test_an_attention_forgets_sizes(monkeypatch):
    monkeypatch.setattr(native.attentions, "supports_attention", lambda *_: False)
    monkeypatch.setattr("swinkit.runtime.engines.remembering.MOST_SIZES", 2)
    model = model_of(1, depths=(2,), num_heads=(1,))
    run = engines.build(model, shape=(1, 3, 32, 32), engine="native")
    for side in (32, 36, 40, 44, 48):
        images = torch.randn(1, 3, 32, side)
        with torch.no_grad():
            torch.testing.assert_close(run(images), model(images), rtol=1e-4, atol=1e-5)
    kept = [len(module.constants) for module in run.program((1, 3, 32, 32)).modules() if hasattr(module, "constants")]
    assert kept
    assert max(kept) <= 2


def test_threads_with_maps_of_several_sizes_get_their_own_position_embedding():
    model = model_of(1, depths=(1, 1), num_heads=(1, 2), ape=True)
    run = engines.build(model, shape=(1, 3, 32, 32), engine="native")
    pictures = [torch.randn(1, 3, 32, side) for side in (32, 64, 96)]
    with torch.no_grad():
        expected = [model(images) for images in pictures]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda place: run(pictures[place % 3]), range(120)))
    for place, answer in enumerate(answers):
        torch.testing.assert_close(answer, expected[place % 3], rtol=1e-4, atol=1e-4)


def test_openvino_is_asked_for_a_map_of_one_row_with_a_position_embedding():
    model, images = model_of(1, ape=True, patch_size=2), torch.randn(1, 3, 2, 32)
    answer = engines.build(model, shape=tuple(images.shape), engine="openvino")(images)
    with torch.no_grad():
        torch.testing.assert_close(answer, model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_that_are_built_at_once_do_not_disturb_each_other(engine):
    model, images = model_of(1, depths=(2, 2), num_heads=(1, 2)), torch.randn(1, 3, 32, 32)
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: engines.build(model, shape=tuple(images.shape), engine=engine), range(3)))
    for run in runs:
        torch.testing.assert_close(run(images), model(images).detach(), rtol=1e-4, atol=1e-4)


def test_a_head_may_be_anything():
    model, images = model_of(1), torch.randn(2, 3, 64, 64)
    model.head = nn.Sequential(nn.Linear(128, 8), nn.ReLU(), nn.Linear(8, 2))
    run = engines.build(model, shape=tuple(images.shape), engine="native")
    with torch.no_grad():
        torch.testing.assert_close(run(images), model(images), rtol=1e-4, atol=1e-5)
    assert run.name == "native"


@pytest.mark.parametrize("engine", ["eager", "native", "onednn"])
@pytest.mark.parametrize("shape", [(2, 1, 64, 64), (2, 4, 64, 64), (3, 64, 64), (1, 3, 0, 64)])
def test_other_pictures_than_the_models_are_refused(engine, shape):
    run = engines.build(model_of(1), shape=(1, 3, 64, 64), engine=engine)
    with pytest.raises(ValueError, match="expected pictures"):
        run(torch.randn(shape))


@pytest.mark.parametrize("version", [1, 2])
def test_the_callers_autocast_does_not_reach_an_engine(version):
    model, images = model_of(version), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        run = engines.build(model, shape=tuple(images.shape), engine="native")
        within = run(images)
    for answer in (within, run(images)):
        assert (answer - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_folder_called_as_an_engine_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "native").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert choice.identity(model_of(1), "float32", (1, 3, 64, 64), ["eager", "native"])


def test_what_cannot_be_is_told(monkeypatch):
    model = model_of(1)
    with pytest.raises(UsageError, match="no engine 'tensorrt'"):
        engines.build(model, engine="tensorrt")
    with pytest.raises(UsageError, match="no precision 'int4'"):
        engines.build(model, precision="int4")
    monkeypatch.setattr(kinds, "is_installed", lambda name: False)
    with pytest.raises(MissingExtra, match="openvino"):
        engines.build(model, engine="openvino")


@pytest.mark.parametrize("verb", [bench, predict], ids=lambda verb: verb.name)
def test_help_names_every_engine(verb):
    """Written there by hand, so that the sentence reads well."""
    (text,) = (option.help for option in verb.params if "--engine" in option.opts)
    assert all(name in text for name in engines.ENGINES)
