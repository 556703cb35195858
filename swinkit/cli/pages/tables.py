"""Figures of ``bench`` as tables, the same on the screen, on the page and in Markdown; and how any table is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from ...report.measures import Table
from ...study.statistics import figure, short

PARTS = {
    "patch": "patch embedding", "merging": "patch merging", "qkv": "queries, keys, values", "attention": "QKᵀ and AV",
    "projection": "output projection", "mlp": "MLP", "position": "log-CPB network", "head": "head",
}  # fmt: skip
SPEED = (
    "engine", "precision", "batch", "pixels", "ms a batch", "p95", "pictures/s", "GMAC/s", "floor, ms", "of floor", "peak MB",
    "of it ours", "build, s", "first, s",
)  # fmt: skip


def by(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def macs_table(counted: Sequence[Mapping[str, Any]]) -> Table:
    """MACs by part, one column for each size, and the sum by the papers' convention."""
    unit, scale = ("GMACs", 1e9) if counted[0]["total"] >= 1e9 else ("MMACs", 1e6)
    rows = []
    for part, words in PARTS.items():
        if any(entry["parts"][part] for entry in counted):
            figures = [f"{entry['parts'][part] / scale:.3f} ({entry['parts'][part] / entry['total']:.1%})" for entry in counted]
            rows.append([words, *figures])
    rows.append(["total", *(f"{entry['total'] / scale:.3f}" for entry in counted)])
    rows.append(["of which padding", *(f"{entry['padding_share']:.1%}" for entry in counted)])
    rows.append(["the papers' convention", *(f"{entry['papers_convention'] / scale:.3f}" for entry in counted)])
    published = [entry["published_gmacs"] for entry in counted]
    if any(published):
        rows.append(["published", *("–" if figure is None else f"{figure * 1e9 / scale:g}" for figure in published)])
    return Table([f"{unit} of one picture", *(by(entry["size"]) for entry in counted)], rows)


def parameters_table(parameters: Mapping[str, int]) -> Table:
    words = {"patch_embed": "patch embedding", "merge": "patch merging", "mlp": "MLP", "norms": "norms between"}
    rows = [
        [words.get(part, part), f"{count:,}", f"{count / parameters['total']:.1%}"]
        for part, count in parameters.items()
        if part != "total"
    ]
    return Table(["Parameters", "number", "share"], [*rows, ["total", f"{parameters['total']:,}", ""]])


def speed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    return Table(SPEED, [_speed_row(row) for row in rows], words=2)


def _speed_row(row: Mapping[str, Any]) -> list[str]:
    names = [engine_of(row), row["precision"], str(row["batch"]), by(row["size"])]
    if "latency_seconds" not in row:
        return [*names, *["–"] * (len(SPEED) - len(names))]
    floor = row.get("floor_seconds")
    return [
        *names,
        figure(row["latency_seconds"], None, 1e3),
        _short(row.get("latency_p95_seconds"), 1e3),
        short(row["pictures_per_second"]),
        _short(row.get("macs_per_second"), 1e-9),
        short(floor["value"] * 1e3) if floor else "–",
        f"{row['share_of_floor']['value']:.2f}" if floor else "–",
        *_memory(row["memory_bytes"]),
        _short(row.get("build_seconds")),
        _short(row.get("first_seconds")),
    ]


def _short(value: float | None, factor: float = 1.0) -> str:
    return "–" if value is None else short(value * factor)


def _memory(memory: Mapping[str, int | None]) -> tuple[str, str]:
    """Peak of the process, and what of it came after the libraries were imported, in MB; a small model may need less than these gave back."""
    peak, loaded = memory.get("peak"), memory.get("loaded")
    ours = peak - loaded if peak and loaded else 0
    return f"{peak / 1e6:,.0f}" if peak else "–", short(ours / 1e6) if ours > 0 else "–"


def engine_of(row: Mapping[str, Any]) -> str:
    """What was asked for, and what computed, where that was left open."""
    asked, chosen = row["asked"], row.get("engine", row["asked"])
    return asked if chosen == asked or "bundle" in row else f"{asked}: {chosen}"


def show(table: Table, markdown: bool = False) -> None:
    """``table`` on stdout, figures to the right."""
    cells = [list(table.columns), *map(list, table.rows)]
    if markdown:
        cells = [[cell.replace("|", r"\|") for cell in row] for row in cells]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(table.columns))]
    lines = [
        [
            f"{cell:{width}}" if column < table.words else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    if not markdown:
        click.echo("\n".join("  ".join(line).rstrip() for line in lines))
        return
    rule = ["-" * width if column < table.words else f"{'-' * (width - 1)}:" for column, width in enumerate(widths)]
    click.echo("\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]))
