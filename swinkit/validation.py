"""Settings checked against their schema; what does not fit is told in words that name the setting."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import UsageError

Settings = TypeVar("Settings", bound=BaseModel)


def validated(schema: type[Settings], values: Mapping[str, Any]) -> Settings:
    """``schema(**values)``; what does not fit raises :class:`UsageError` naming each setting, with the nearest known name."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_explain(schema, fault) for fault in error.errors())) from None


def _explain(schema: type[BaseModel], fault: Any) -> str:
    if not fault["loc"]:  # the settings contradict each other
        return str(fault["msg"]).removeprefix("Value error, ")
    *parents, name = (str(part) for part in fault["loc"])
    where = ".".join([*parents, name])
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']}, got {fault['input']!r}."
    known = _known(schema, parents)
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"Did you mean {'.'.join([*parents, close[0]])!r}?" if close else f"Known: {', '.join(known)}."
    return f"No such setting {where!r}. {remedy}"


def _known(schema: type[BaseModel], parents: Sequence[str]) -> list[str]:
    for parent in parents:
        annotation = schema.model_fields[parent].annotation
        candidates = (annotation, *getattr(annotation, "__args__", ()))
        schema = next(kind for kind in candidates if hasattr(kind, "model_fields"))
    return list(schema.model_fields)
