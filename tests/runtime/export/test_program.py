"""A torch.export archive is read before torch reads it: whatever could run a program is refused by name."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from swinkit.errors import WeightsError
from swinkit.runtime.export.graphs import to_torch
from swinkit.runtime.export.program import load_program

MODEL, WEIGHTS, SAMPLE = "models/model.json", "data/weights/model_weights_config.json", "data/sample_inputs/model.pt"


@pytest.fixture(scope="module")
def archive() -> bytes:
    sides = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(nn.Linear(3, 2), (torch.zeros(2, 3),), dynamic_shapes=(sides,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
        node.meta.pop("nn_module_stack", None)
        node.meta.pop("source_fn_stack", None)
    program._guards_code = []
    return to_torch(program, None)["model.pt2"]  # type: ignore[arg-type]


def changed(archive: bytes, member: str, change: Callable[[bytes], bytes], new: dict[str, bytes] | None = None) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(content, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, change(data) if name.endswith(member) else data)
        for name, data in (new or {}).items():
            target.writestr(f"archive/{name}", data)
    return content.getvalue()


def in_json(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        value = json.loads(content)
        change(value)
        return json.dumps(value).encode()

    return apply


def set_target(target: str) -> Callable[[bytes], bytes]:
    return in_json(lambda model: model["graph_module"]["graph"]["nodes"][0].update(target=target))


class Runs:
    def __reduce__(self) -> Any:
        return print, ("ran",)


def hostile_sample(_: bytes) -> bytes:
    content = io.BytesIO()
    torch.save(Runs(), content)
    return content.getvalue()


def test_an_archive_of_swinkit_is_read(archive: bytes) -> None:
    program = load_program(archive, Path("model.pt2")).module(check_guards=False)
    assert program(torch.zeros(5, 3)).shape == (5, 2)


@pytest.mark.parametrize(
    ("member", "change", "said"),
    [
        (MODEL, set_target("torch.os.system"), r"torch\.os\.system"),
        (MODEL, set_target("torch.ops.aten.linear.default.__globals__"), "no operator"),
        (MODEL, set_target("_operator.methodcaller"), "methodcaller"),
        (MODEL, set_target("#extension:name"), "extension"),
        (MODEL, in_json(lambda model: model.update(guards_code=["__import__('os')"])), "guards"),
        (MODEL, in_json(lambda model: model["graph_module"].update(x={"expr_str": "__import__('os').getpid()"})), "arithmetic"),
        (
            MODEL,
            in_json(lambda model: model["graph_module"].update(x={"expr_str": "Symbol('s', commutative=f())"})),
            "arithmetic",
        ),
        (WEIGHTS, in_json(lambda value: next(iter(value["config"].values())).update(use_pickle=True)), "pickle"),
        (WEIGHTS, in_json(lambda value: next(iter(value["config"].values())).update(path_name="../../x")), "pickle"),
        (SAMPLE, hostile_sample, "GLOBAL"),
        (SAMPLE, lambda _: pickle.dumps(Runs()), "not a zip file"),
    ],
)
def test_what_could_run_a_program_is_refused(
    archive: bytes, member: str, change: Callable[[bytes], bytes], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match=said):
        load_program(changed(archive, member, change), Path("model.pt2"))
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["data/aotinductor/model/model.so", "data/constants/custom_obj_0", "models/other.json"])
def test_a_file_that_no_graph_needs_is_refused(archive: bytes, name: str) -> None:
    with pytest.raises(WeightsError, match="which no graph needs"):
        load_program(changed(archive, "nothing", bytes, {name: b""}), Path("model.pt2"))


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(WeightsError, match="not a zip file"):
        load_program(b"not an archive", Path("model.pt2"))
