"""Templates of pages that ask nobody for anything and run nothing that stands in their values.

jinja2 escapes every value, what could break or turn a line is written out, and a page names its own style and script by digest in the
Content-Security-Policy that forbids it all else.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup

from ..data.collection import shown


def inert_templates(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Templates of ``loader``; a value that one does not know is an error."""
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, finalize=_inert, trim_blocks=True, lstrip_blocks=True
    )


def digest(text: str) -> str:
    """SHA-256 of ``text`` in base64, as a Content-Security-Policy names what a page may hold."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(value: Any) -> Any:
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
