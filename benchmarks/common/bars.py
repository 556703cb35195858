"""Bars beside figures: what is wanted, and whether the figure reaches it."""

from __future__ import annotations

MET, MISSED = "✓", "✗"


def marked(wanted: str, met: bool | None) -> str:
    """``wanted``, which says what a bar asks for, with the mark of whether it was ``met``; None where nothing was measured."""
    return wanted if met is None else f"{wanted} {MET if met else MISSED}"


def at_least(value: float | None, bar: float | None) -> str:
    """The bar below a figure, of which the middle decides and not its interval; – where there is none."""
    return "–" if bar is None else marked(f"≥ {bar}", None if value is None else value >= bar)


def at_most(value: float | None, bar: float | None) -> str:
    """The bar above a figure, likewise."""
    return "–" if bar is None else marked(f"≤ {bar}", None if value is None else value <= bar)
