"""How Sphinx builds the site: `make docs`, or `python -m sphinx -W docs docs/_build/html`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import swinkit  # noqa: E402

project = "swinkit"
author = "the authors of swinkit"
release = version = swinkit.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "swinkit"
html_copy_source = False
html_show_copyright = False  # it would be empty: LICENSE says whose the project is
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
# pydantic and torch document their own bases at length; ours say what is ours
autodoc_inherit_docstrings = False


class Verbs(SphinxDirective):
    """The help of every verb, as the command line prints it."""

    def run(self) -> list[nodes.Node]:
        from swinkit.cli.main import VERBS, cli

        answer: list[nodes.Node] = []
        context = click.Context(cli, info_name="swinkit", terminal_width=100)
        for verb in VERBS:
            command = cli.get_command(context, verb)
            assert command is not None
            text = command.get_help(click.Context(command, context, verb, terminal_width=100))
            section = nodes.section(ids=[verb])
            section += nodes.title(text=f"swinkit {verb}")
            section += nodes.literal_block(text, text, language="text")
            answer.append(section)
        return answer


def plain(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Docstrings are prose with formulas in it: |x| is a length and p*q a product, no substitution and no emphasis."""
    lines[:] = ["``".join(_escaped(line.split("``"))) for line in lines]


def _escaped(pieces: list[str]) -> list[str]:
    """The pieces between double backticks are code and stay."""
    return [piece if index % 2 else piece.replace("*", r"\*").replace("|", r"\|") for index, piece in enumerate(pieces)]


def setup(app: Sphinx) -> None:
    app.add_directive("verbs", Verbs)
    app.connect("autodoc-process-docstring", plain)
