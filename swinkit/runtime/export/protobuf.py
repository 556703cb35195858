"""Does an ONNX file ask for data outside of itself? Read from its bytes, without the package ``onnx`` and without opening anything.

A tensor may name another file as its data, and readers have followed ``../../etc/passwd`` and links (CVE-2026-27489). Ours
carry everything themselves, so whatever names a file is refused before a runtime sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import WeightsError

DEPTH = 32  # of graphs within nodes; a traced Swin has one

# message -> field number -> message in that field: the ways from a model to its tensors (onnx.proto, IR version 13)
MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # fields of a tensor; location 1 is "external"


def refuse_outside_data(content: bytes, path: Path) -> None:
    """Raise :class:`WeightsError` if a tensor in the ONNX model ``content`` lies elsewhere, or if it is no ONNX model."""
    try:
        outside = next(_outside(memoryview(content), "model", 0), None)
    except (IndexError, ValueError) as fault:
        raise WeightsError(f"{path} is not an ONNX model: {fault}. Mend: copy it again") from None
    if outside is not None:
        raise WeightsError(
            f"{path} keeps weights in another file ({outside}), which is not followed. Expected a file that holds all of "
            "itself. Mend: export again with swinkit, or save it with onnx.save(..., save_as_external_data=False)"
        )


def _outside(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    """What tensors below ``message`` name as their place."""
    if depth > DEPTH:
        raise ValueError(f"graphs are nested deeper than {DEPTH}")
    for number, value in _fields(message):
        if kind == "tensor" and number == EXTERNAL_DATA:
            entry = dict(_fields(value)) if isinstance(value, memoryview) else {}
            yield ascii(bytes(entry.get(2, b""))[:200].decode("utf-8", "backslashreplace"))  # type: ignore[arg-type]
        elif kind == "tensor" and number == DATA_LOCATION and value != 0:
            yield "its place is not named"
        elif number in MESSAGES[kind] and isinstance(value, memoryview):
            yield from _outside(value, MESSAGES[kind][number], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a protobuf message, in its wire format; packed and fixed values are handed on unread."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"wire type {wire} at byte {at}")
        length, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + length > len(message):
            raise ValueError(f"a field of {length:,} bytes at byte {at} ends beyond its message")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise ValueError(f"a number at byte {at} has no end")
