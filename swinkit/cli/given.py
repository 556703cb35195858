"""What a verb is given, looked at before anything heavy is imported: a mistyped name or place is refused at once.

Arguments and options of these types are checked as the command line is read; what may stand in a file of settings, by :func:`run_settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import DataError, UsageError

if TYPE_CHECKING:
    from ..train.settings import RunSettings

    Settings = TypeVar("Settings", bound=RunSettings)

Names = Callable[[], Sequence[str]]


class _Given(click.ParamType):
    """A value that ``check`` raises for if it cannot be meant; its help is that of plain text."""

    name = "text"

    def __init__(self, check: Callable[[str], Any]) -> None:
        self.check = check

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> Any:
        self.check(value)
        return value


class _Picture(click.ParamType):
    """One file with a picture, as a path; what is none is bad data, as in every other verb."""

    name = "file"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> Path:
        from ..runtime.inputs import typed

        if (fault := typed(str(value)).fault) is not None:
            raise DataError(f"{value}: {fault}")
        return Path(value)


def network(also: Names = tuple) -> click.ParamType:
    """A model or a variant; ``also`` gives further names that the verb takes."""

    def check(name: str) -> None:
        from ..weights.named import is_variant

        if name not in also():
            is_variant(name, also())

    return _Given(check)


def engine(*also: str) -> click.ParamType:
    """An engine, or one of ``also``."""

    def check(name: str) -> None:
        from ..runtime.kinds import check_engine

        check_engine(name, also)

    return _Given(check)


def _saved(name: str) -> None:
    from ..weights.named import check_saved

    check_saved(name)


def _data(name: str) -> None:
    check_data(name)


MODEL, DATA, PICTURE = _Given(_saved), _Given(_data), _Picture()


def check_data(data: str, layout: str | None = None) -> None:
    """Raises what opening ``data`` would, as far as it can be told without opening a picture."""
    from ..data.layouts import layout_of

    layout_of(data, layout)


def run_settings(schema: type[Settings], chosen: Mapping[str, Any], run: Path | None, out: Path | None) -> Settings:
    """What was ``chosen``, as settings of a new run in ``out``, or for going on with ``run``.

    Raises what such a run would, as far as names and places tell.
    """
    from ..train.frozen import check_agreement
    from ..train.place import check_begun, check_place
    from ..validation import validated
    from ..weights.named import is_variant

    settings = validated(schema, chosen)
    if run is not None:
        check_begun(run, settings.task)
    else:
        check_place(settings, out)
        check_agreement(settings)
        if settings.model != "auto":
            is_variant(settings.model)
    return settings


def source_of(model: str, data: str | None, layout: str | None) -> tuple[str, str | None]:
    """Where the pictures lie that ``model`` is judged on, and their layout: ``data``, by default those of its run.

    Raises :class:`UsageError` for a model without one.
    """
    if data is not None:
        return data, layout
    from ..train.place import read_record, run_of
    from ..weights import CONFIG

    run = run_of(model)
    if run is None:
        from ..weights import WEIGHTS

        within = sorted(str(place.parents[1]) for place in Path(model).glob(f"*/model/{WEIGHTS}"))
        if within:  # as of a cross-validation
            raise UsageError(f"{model} is no run itself. Below it are runs: {', '.join(within[:5])}")
        raise UsageError(
            f"{model} is a model without a run, so it keeps no pictures to be judged on. Give DATA: a folder, a manifest, or a bundled set"
        )
    settings = read_record(run, CONFIG)
    if not settings.get("data"):
        raise DataError(f"{run / CONFIG} does not say where the pictures lie. Mend: give DATA after {model}")
    return settings["data"], layout or settings.get("format")
