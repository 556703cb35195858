"""Swin beside Vision Transformers over resolutions: MACs, latency, memory, and where their curves cross."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..config import SwinConfig
from ..errors import UsageError
from ..runtime.export.bundle import is_bundle
from . import statistics
from .attention_cost import STRIDE, WIDTH, WINDOW
from .crossing import crossings, exponent
from .macs import count_macs, msa, padding_share, useful_macs, window_msa
from .models import PLAIN, outline
from .turns import Candidate, Measured, Pace, Say, Until, take_turns, unheard
from .vit import VITS, count_vit_macs

SIZES = (224, 384, 512, 768, 1024, 1536)
MODELS = ("swin_t", "swinv2_t", "deit_s")
LAYERS = ("MSA", "W-MSA")
MOST_PADDING = 0.5  # of a Swin's MACs
QUANTITIES = {"macs": "MACs", "latency_seconds": "latency", "memory_bytes": "memory"}


def count(models: Sequence[str], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """A row for each model and side: all MACs of one picture and those between tokens, QKᵀ and AV.

    Raises :class:`UsageError` for an exported bundle, for a side that a Vision Transformer's patches do not divide, or at which a Swin mostly computes padding.
    """
    if exported := next((name for name in models if is_bundle(name)), None):
        raise UsageError(
            f"{exported} is an exported graph, and models are compared. Mend: swinkit bench MODEL --bundle {shlex.quote(exported)}"
        )
    return [_counted(name, side) for name, side in itertools.product(models, sizes)]


def check_side(name: str, config: SwinConfig, side: int) -> None:
    """Raise :class:`UsageError` where more than half of the MACs of Swin ``name`` are padding to whole patches and windows.

    The Swin answers there too, but a curve through such a side says how it pads, not how it grows.
    """

    def share(side: int) -> float:
        return padding_share(config, (side, side))

    if share(side) > MOST_PADDING:
        stride = config.strides[-1]
        near = next(side for side in itertools.count(-(-side // stride) * stride, stride) if share(side) <= MOST_PADDING)
        raise UsageError(
            f"At {side} x {side} pixels {share(side):.0%} of what {name} computes is padding to whole windows, so that comparing it says nothing "
            f"of it. Mend: another side, such as --image-size {near}"
        )


def _counted(name: str, side: int) -> dict[str, Any]:
    if name in VITS:
        if side % VITS[name].patch:
            raise UsageError(f"{name} takes sides that divide by {VITS[name].patch}, not {side}. Choose another --image-size")
        parts: Any = count_vit_macs(VITS[name], (side, side))
        useful = parts.total
    else:
        config = outline(name, list(VITS)).config
        check_side(name, config, side)
        parts, useful = count_macs(config, (side, side)), useful_macs(config, (side, side))
    return {"model": name, "side": side, "macs": parts.total, "useful_macs": useful, "attention_macs": parts.attention}


def measure(
    rows: list[dict[str, Any]], precision: str, pace: Pace, engine: str, until: Until,
    say: Say = unheard,
) -> list[dict[str, Any]]:  # fmt: skip
    """Add latency and memory to ``rows`` of :func:`count`, side after side, and return rows of the two attention layers.

    ``engine`` is that of the Swins. No side begins but the first where ``until`` says so; what is left out has a ``fault`` that says why.
    """
    layers: list[dict[str, Any]] = []
    for side in sorted({row["side"] for row in rows}):
        here = [row for row in rows if row["side"] == side]
        both = [_layer(kind, side) for kind in LAYERS]
        layers += both
        found = None
        if layers[0] is both[0] or not until.why:
            say(f"{side} x {side} pixels, {precision}")
            candidates = [*(_candidate(row["model"], side, precision, engine) for row in here), *_layers(side, precision)]
            with until.keeping():
                found = take_turns(candidates, pace, say=say)
        if found is None:
            for row in [*here, *both]:
                row["fault"] = f"{row.get('model') or row['layer']}: left out, {until.why}"
            continue
        for row in here:
            _add(row, found[row["model"]], precision)
        for row in both:
            _add(row, found[row["layer"]], precision)
    return layers


def _candidate(name: str, side: int, precision: str, engine: str) -> Candidate:
    kind, engine = ("vit", PLAIN) if name in VITS else ("swin", engine)
    arguments = {"model": name, "batch": 1, "size": (side, side), "precision": precision, "engine": engine}
    return Candidate(name, f"{__package__}.subjects:{kind}", arguments)


def _layers(side: int, precision: str) -> list[Candidate]:
    arguments = {"size": (side, side), "precision": precision}
    return [Candidate(kind, f"{__package__}.attention_cost:layer", {"kind": kind, **arguments}) for kind in LAYERS]


def _layer(kind: str, side: int) -> dict[str, Any]:
    tokens = side // STRIDE
    macs = msa(tokens, tokens, WIDTH) if kind == "MSA" else window_msa(tokens, tokens, WIDTH, WINDOW)
    return {"layer": kind, "side": side, "macs": macs}


def _add(row: dict[str, Any], measured: Measured, precision: str) -> None:
    row |= {**measured.about, "fault": measured.fault}
    if fault := measured.not_in(precision):
        row |= {"precision": precision, "fault": f"{row.get('model') or row['layer']}: {fault}"}
        return
    if measured.turns:
        row["latency_seconds"] = asdict(statistics.median(measured.turns))
        row["turns"] = measured.to_dict()["turns"]
    peak, loaded = (measured.memory.get(key) for key in ("peak", "loaded"))
    if peak and loaded and peak > loaded:  # a small model may need less than its libraries gave back
        row["memory_bytes"] = peak - loaded


def curve(rows: Sequence[dict[str, Any]], name: str, quantity: str) -> dict[float, float]:
    """``quantity`` of model or layer ``name`` by side; what was not measured is not there."""
    answer = {}
    for row in rows:
        value = row.get(quantity)
        if name in (row.get("model"), row.get("layer")) and value:
            answer[float(row["side"])] = float(value["value"] if isinstance(value, dict) else value)
    return answer


def layers_meet(layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Where the two attention layers of :func:`measure` cost the same, in pixels a side: by the formulas of Swin, equations 1 and 2, which agree
    where one window covers the map, hw = M²; and by the clock, at every place where the measured curves cross.

    ``sides`` are the first and the last that both were measured at, ``faster`` the layer that takes less time at the last.
    """
    curves = {kind: curve(layers, kind, "latency_seconds") for kind in LAYERS}
    sides = sorted(set.intersection(*map(set, curves.values())))
    return {
        "formula": WINDOW * STRIDE, "measured": crossings(*curves.values()), "sides": [sides[0], sides[-1]] if sides else None,
        "faster": min(LAYERS, key=lambda kind: curves[kind][sides[-1]]) if sides else None,
    }  # fmt: skip


def summarise(rows: Sequence[dict[str, Any]], layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Where the curves of a Swin and a Vision Transformer cross, in pixels a side, and with which power of the number of pixels each grows."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    found, growth = [], []
    for quantity, words in QUANTITIES.items():
        for index, one in enumerate(names):
            for other in (name for name in names[index + 1 :] if (name in VITS) != (one in VITS)):
                for side in crossings(curve(rows, one, quantity), curve(rows, other, quantity)):
                    found.append({"quantity": words, "one": one, "other": other, "side": side})
        if quantity != "memory_bytes":  # which has a part that does not grow, the weights
            growth += [{"quantity": words, "of": name, "power": _power(curve(rows, name, quantity))} for name in names]
    for kind in LAYERS:
        growth.append({"quantity": "latency", "of": kind, "power": _power(curve(layers, kind, "latency_seconds"))})
    return {"crossings": found, "growth": growth, **({"layers_meet": layers_meet(layers)} if layers else {})}


def _power(curve: dict[float, float]) -> float | None:
    return exponent({side**2: value for side, value in curve.items()})
