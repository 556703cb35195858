"""The page of a study: what was counted and measured, as charts and tables, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .page import Headline, write_report
from .plots import Curve


@dataclass(frozen=True)
class Table:
    """Cells as text; the first ``words`` columns are words, the others figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    caption: str = ""


@dataclass(frozen=True)
class Chapter:
    """A section of the page; charts without a finite point are left out, and so is a section without charts and rows."""

    heading: str
    lead: str = ""
    charts: Sequence[Curve] = ()
    tables: Sequence[Table] = ()

    @property
    def drawn(self) -> list[Curve]:
        return [chart for chart in self.charts if chart.finite]

    @property
    def empty(self) -> bool:
        return not self.drawn and not any(table.rows for table in self.tables)


@dataclass(frozen=True)
class StudyPage:
    """Everything that the page shows; ``facts`` maps a name to plain text, ``commands`` are shell lines that repeat the study."""

    title: str
    summary: str
    headlines: Sequence[Headline] = ()
    chapters: Sequence[Chapter] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def write_study(path: Path, page: StudyPage) -> Path:
    """Put ``page`` at ``path``, one file that holds everything it shows."""
    return write_report(path, page, "study.html.j2")
