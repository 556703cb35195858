"""What users build on, frozen: public names, verbs, options that several verbs share, exit codes. A change here is a change for them."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import click
import pytest

import swinkit
from swinkit import errors
from swinkit.cli.main import VERBS, cli
from swinkit.cli.options import OPTIONS

NAMES = {"Classification", "Predictor", "Preprocessing", "SwinConfig", "SwinkitError", "create_model", "load", "save"}
MODULES = {
    "config", "data", "errors", "explain", "kernels", "model", "preprocessing", "report", "results", "runtime", "study", "tasks",
    "train", "variants", "weights",
}  # fmt: skip
VERB_NAMES = [
    "train",
    "pretrain",
    "evaluate",
    "predict",
    "export",
    "verify",
    "explain",
    "inspect",
    "convert",
    "bench",
    "compare",
    "data",
    "tour",
    "demo",
    "doctor",
]
SHARED = {"--out", "--epochs", "--seed", "--device", "--config", "--set", "--dry-run", "--json", "-q", "--quiet"}
EXIT_CODES = {
    "SwinkitError": 1,
    "UsageError": 2,
    "DataError": 3,
    "GateError": 4,
    "WeightsError": 1,
    "MissingExtra": 1,
    "Interrupted": 130,
}


def test_public_names() -> None:
    assert set(swinkit.__all__) == {"__version__"} | NAMES | MODULES
    assert dir(swinkit) == sorted(swinkit.__all__)


@pytest.mark.parametrize("name", sorted(NAMES | MODULES))
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(swinkit, name) is not None


def test_type_checkers_see_every_public_name_and_no_other() -> None:
    """What they see of each is said in ``tests/typed.py``."""
    (branch,) = [node for node in ast.parse(inspect.getsource(swinkit)).body if isinstance(node, ast.If)]
    assert ast.unparse(branch.test) == "TYPE_CHECKING"
    assert all(isinstance(node, ast.ImportFrom) for node in branch.body)
    assert {alias.asname for node in branch.body for alias in node.names} == NAMES | MODULES
    assert [node.name for node in branch.orelse] == ["__getattr__"]


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        swinkit.Trainer  # noqa: B018


def test_version_is_that_of_pyproject() -> None:
    assert f'version = "{swinkit.__version__}"' in (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")


def test_importing_swinkit_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import swinkit; print(sorted(set(sys.modules) - before))"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=root, timeout=60, check=True)
    standard = {"swinkit", "importlib", "warnings", "typing", "__future__"}
    imported = {name.strip("' ").split(".")[0] for name in done.stdout.strip("[]\n").split(",")}
    assert {name for name in imported if name not in sys.stdlib_module_names} <= standard


def test_verbs() -> None:
    assert list(VERBS) == VERB_NAMES


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_a_verb_is_a_command_of_its_name(verb: str) -> None:
    module, attribute = VERBS[verb][0].split(":")
    assert getattr(importlib.import_module(module), attribute).name == verb


def test_every_verb_tells_json_and_can_be_quiet() -> None:
    for verb in VERBS:
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        assert {"--json", "-q"} <= {option for parameter in command.params for option in parameter.opts}


def test_shared_options() -> None:
    @click.command()
    def bare() -> None: ...

    for option in OPTIONS.values():
        bare = option()(bare)
    assert {option for parameter in bare.params for option in parameter.opts} == SHARED


def test_exit_codes() -> None:
    assert {name: getattr(errors, name).exit_code for name in EXIT_CODES} == EXIT_CODES
    children = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.SwinkitError)}
    assert children == set(EXIT_CODES)
