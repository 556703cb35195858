"""The house: an import points downwards or along a sibling arrow named here, never in a circle; files stay short."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import swinkit

ROOT = Path(__file__).parents[1]
LONGEST = {"swinkit": 300, "tests": 400}  # lines of a file; a test's table of cases may be long

FLOORS = (
    {"__main__"},
    {"cli"},
    {"serve", "scale"},
    {"train", "runtime", "explain", "study", "report"},
    {"tasks"},
    {"weights", "data", "kernels"},
    {"model"},
    {"config", "variants", "preprocessing", "results", "validation", "extras", "devices"},
    {"interpreter", "lazy", "machine", "memory", "timing", "errors"},
)
HEIGHT = {part: -floor for floor, parts in enumerate(FLOORS) for part in parts}

# the only arrows between parts of one floor
SIBLINGS = {
    ("study", "runtime"),
    ("variants", "config"),
    ("variants", "validation"),
    ("explain", "report"),
    ("explain", "study"),
}

# peers serve tests and benchmarks; the package never imports them
PEERS = {"timm", "transformers", "sklearn"}

REFERENCE = re.compile(r"(swinkit(?:\.\w+)+)(?::\w+)?")


def read_package() -> dict[str, str]:
    """Dotted module name -> source, packages ending in ``.__init__``."""
    paths = sorted((ROOT / "swinkit").rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8") for path in paths}


def settle(target: str, sources: dict[str, str]) -> str | None:
    """The module of ``sources`` that importing the dotted ``target``, perhaps a name inside a module, runs last."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        for name in (".".join(parts[:length]), ".".join([*parts[:length], "__init__"])):
            if name in sources:
                return name
    return None


def statements(module: str, tree: ast.Module) -> Iterator[str]:
    """Dotted targets of every import statement, however deep; ``from a import b`` gives ``a.b``."""
    package = module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*origin, alias.name]) for alias in node.names)


def references(tree: ast.Module) -> Iterator[str]:
    """Modules that strings name, as in a lazy table: ``"swinkit.tasks.classification:ClassificationTask"``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := REFERENCE.fullmatch(node.value)):
            yield match[1]


def public(target: str) -> str:
    """``swinkit.load``, a lazy public name, is an import of the module that defines it."""
    name = target.removeprefix("swinkit.")
    return swinkit.NAMES[name].partition(":")[0] if name in swinkit.NAMES else target


def part_of(module: str) -> str:
    return module.split(".")[1]


def upward(sources: dict[str, str]) -> list[str]:
    """Every import that points up or sideways without a named arrow."""
    faults = []
    for module, text in sources.items():
        if module == "swinkit.__init__":
            continue
        tree, here = ast.parse(text), part_of(module)
        for target in {*statements(module, tree), *references(tree)}:
            found = settle(public(target), sources)
            if found is None or found == "swinkit.__init__" or part_of(found) == here:
                continue
            there = part_of(found)
            if HEIGHT[there] >= HEIGHT[here] and (here, there) not in SIBLINGS:
                faults.append(f"{module} imports {found}")
    return faults


def circle(sources: dict[str, str]) -> list[str]:
    """One circle of import statements between modules, or nothing. What a lazy table names does not count."""
    graph = {}
    for module, text in sources.items():
        found = {settle(target, sources) for target in statements(module, ast.parse(text))}
        graph[module] = {name for name in found if name not in (None, module, "swinkit.__init__")}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


PACKAGE = read_package()


def test_imports_point_down() -> None:
    assert upward(PACKAGE) == []


def test_no_import_in_a_circle() -> None:
    assert circle(PACKAGE) == []


def test_every_part_has_a_floor() -> None:
    assert {part_of(module) for module in PACKAGE} - {"__init__"} <= set(HEIGHT)


@pytest.mark.parametrize("module", PACKAGE)
def test_no_peer_is_imported(module: str) -> None:
    imported = {target.split(".")[0] for target in statements(module, ast.parse(PACKAGE[module]))}
    assert not imported & PEERS


def test_files_are_short_and_named_for_what_they_hold() -> None:
    for folder, longest in LONGEST.items():
        files = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
        assert [str(path) for path in files if path.stem in {"utils", "util", "helpers", "misc", "common"}] == []
        assert [str(path) for path, lines in files.items() if lines > longest] == []


PLANTED = {
    "swinkit.__init__": "",
    "swinkit.errors": "",
    "swinkit.model.__init__": "",
    "swinkit.model.block": "from ..errors import SwinkitError",
    "swinkit.data.__init__": "",
    "swinkit.data.loader": "",
    "swinkit.weights.files": "",
    "swinkit.tasks.__init__": "",
    "swinkit.cli.main": "TABLE = {'data': ('swinkit.data.loader:x',)}",
}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("swinkit.model.block", "def late():\n    from ..data import loader"),
        ("swinkit.model.block", "import swinkit.data.loader"),
        ("swinkit.model.block", "from swinkit import load"),
        ("swinkit.model.block", "TABLE = {'a': 'swinkit.data.loader:Loader'}"),
        ("swinkit.model.block", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..tasks import Task"),
        ("swinkit.data.loader", "from ..weights.files import read"),
    ],
)
def test_a_planted_import_is_found(module: str, source: str) -> None:
    assert upward(PLANTED) == []
    assert len(upward({**PLANTED, module: source})) == 1


def test_a_planted_circle_is_found() -> None:
    assert circle(PLANTED) == []
    planted = {
        **PLANTED,
        "swinkit.data.split": "def late():\n    from .loader import x",
        "swinkit.data.loader": "from . import split",
    }
    assert set(circle(planted)) == {"swinkit.data.split", "swinkit.data.loader"}
