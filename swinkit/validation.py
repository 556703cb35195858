"""Settings checked against their schema; what does not fit is told in words that name the setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from .errors import UsageError, nearest

# what pydantic wants by the beginning of its fault's type, in words, and one that it takes
EXAMPLES = {
    "float": ("a number", "0.001"),
    "int": ("a whole number", "10"),
    "bool": ("true or false", "false"),
    "tuple": ("a list", "[2,2,6,2]"),
    "pair": ("two numbers", "[224,224]"),
}
Settings = TypeVar("Settings", bound=BaseModel)


def validated(schema: type[Settings], values: Mapping[str, Any]) -> Settings:
    """``schema(**values)``; what does not fit raises :class:`UsageError` naming each setting, with the nearest known name."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        # of what may be of several kinds, the first
        faults = {_place(schema, fault): fault for fault in reversed(error.errors())}
        raise UsageError("\n".join(_explain(schema, *one) for one in reversed(faults.items()))) from None


def _place(schema: type[BaseModel], fault: Any) -> tuple[str, ...]:
    """The names that lead to what does not fit, without the kinds that pydantic names between them; the last may be unknown."""
    names: list[str] = []
    for part in fault["loc"]:
        if str(part) in _known(schema, names) or fault["type"] == "extra_forbidden":
            names.append(str(part))
    return tuple(names)


def _explain(schema: type[BaseModel], place: tuple[str, ...], fault: Any) -> str:
    if not place:  # the settings contradict each other
        return str(fault["msg"]).removeprefix("Value error, ")
    parents, where = place[:-1], ".".join(place)
    if indices := [part for part in fault["loc"] if isinstance(part, int)]:
        return f"{where}[{indices[0]}]: {fault['msg']}, got {fault['input']!r}."
    kind = fault["type"].partition("_")[0]
    if kind in EXAMPLES and fault["type"].endswith(("_parsing", "_type", "_from_float")):
        expected, example = EXAMPLES["pair" if kind == "tuple" and _is_pair(schema, place) else kind]
        return f"{where}: expected {expected}, got {fault['input']!r}. Mend: give one, as in {where}={example}"
    if fault["type"] != "extra_forbidden":
        return f"{where}: {fault['msg']}, got {fault['input']!r}."
    if meant := _meant(schema, place):
        return f"No such setting {where!r}. Did you mean {meant!r}?"
    known = _known(schema, parents)
    full = [".".join([*parents, one]) for one in known]
    return f"No such setting {where!r}. {nearest(where, full, 'Known: ' + ', '.join(known) + '.')}"


def _is_pair(schema: type[BaseModel], place: Sequence[str]) -> bool:
    """Whether the setting at ``place`` is a tuple of two, as sizes are."""
    *parents, name = place
    annotation = _inner(schema, parents).model_fields[name].annotation
    kinds = (annotation, *get_args(annotation))
    return any(get_origin(kind) is tuple and len(get_args(kind)) == 2 and ... not in get_args(kind) for kind in kinds)


def _meant(schema: type[BaseModel], place: Sequence[str]) -> str | None:
    """The setting that ``place`` names as papers or flags do, by the schema's ``also_called``, or without the block that it is in."""
    *parents, name = place
    blocks = [block for block in _known(schema, parents) if name in _known(schema, [*parents, block])]
    nested = ".".join([*parents, blocks[0], name]) if blocks else None
    return getattr(schema, "also_called", {}).get(".".join(place), nested)


def _known(schema: type[BaseModel], parents: Sequence[str]) -> list[str]:
    inner = _inner(schema, parents)
    return list(inner.model_fields) if inner else []


def _inner(schema: type[BaseModel], parents: Sequence[str]) -> Any:
    """The schema of the block that ``parents`` lead to; None where they lead to none."""
    found: Any = schema
    for parent in parents:
        annotation = found.model_fields[parent].annotation
        candidates = (annotation, *get_args(annotation))
        found = next((kind for kind in candidates if hasattr(kind, "model_fields")), None)
        if found is None:
            return None
    return found
