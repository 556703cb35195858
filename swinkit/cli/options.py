"""What every verb shares: options that mean the same everywhere, settings from file, ``--set`` and flags, and what is printed where."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from ..errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

LAYOUTS = "Layout of DATA: folders, manifest, idx, pictures or bundled; recognised by default."
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class _Size(click.ParamType):
    """A side, or height and width, as (height, width)."""

    name = "N|HxW"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.name  # click would write it in capitals

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if not (found := re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", str(value), re.IGNORECASE)):
            self.fail(f"{value!r} is no size; expected a side, as 192, or height and width, as 160x320.", parameter, ctx)
        return int(found[1]), int(found[2] or found[1])


SIZE = _Size()


def at_size(size: tuple[int, int] | None) -> tuple[str, ...]:
    """The option that asks for ``size``, for a command that is proposed; nothing where none was asked for."""
    return () if size is None else ("--image-size", f"{size[0]}x{size[1]}")


def _device(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if not DEVICE.fullmatch(value):
        raise click.BadParameter(f"{value!r} is none of auto, cpu, cuda, cuda:N, mps.", ctx, parameter)
    return value


# name in shared(...) -> what makes the option; a verb receives `settings` from --set, `as_json` from --json, the others by their own name
OPTIONS: dict[str, partial[Any]] = {
    "out": partial(
        click.option, "--out", type=click.Path(path_type=Path), help="Where the result goes; nothing is overwritten."
    ),
    "epochs": partial(
        click.option, "--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the training pictures."
    ),
    "seed": partial(
        click.option,
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        help="Seed of everything random; 0 unless the settings have another.",
    ),
    "device": partial(
        click.option,
        "--device",
        default="auto",
        show_default=True,
        callback=_device,
        metavar="NAME",
        help="Where to compute: auto, cpu, cuda, cuda:N or mps.",
    ),
    "config": partial(
        click.option,
        "--config",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.yaml",
        help="Read settings from a file, for instance a run's config.yaml.",
    ),
    "set": partial(
        click.option,
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="One setting by its name in config.yaml, as in lr=0.001 or augment.flip=false; stronger than the file; repeatable.",
    ),
    "dry_run": partial(click.option, "--dry-run", is_flag=True, help="Show what would be done, and do nothing."),
    "json": partial(click.option, "--json", "as_json", is_flag=True, help="Print the result as JSON."),
    "quiet": partial(click.option, "-q", "--quiet", is_flag=True, help="Only the result, warnings and errors."),
}


def shared(*names: str, **helps: str) -> Callable[[Command], Command]:
    """Decorate a command with the options ``names`` of :data:`OPTIONS`, shown in that order; ``helps`` say what one means for this verb."""

    def decorate(command: Command) -> Command:
        for name in reversed(names):
            told = {"help": helps[name]} if name in helps else {}
            command = OPTIONS[name](**told)(command)
        return command

    return decorate


def read_settings(config: Path | None, settings: Sequence[str], **flags: Any) -> dict[str, Any]:
    """Nested settings: those of the YAML file, over them each ``key=value``, over them the ``flags`` that are not None.

    If another model or size is given than the file's, what the file froze of its own network is left out. Raises :class:`UsageError` for a file that is not a mapping and for a ``--set`` without ``=``.
    """
    given = [_assigned(text) for text in settings] + [([key], value) for key, value in flags.items() if value is not None]
    answer: dict[str, Any] = {}
    if config:
        from ..train.frozen import beside

        answer = beside(_read_yaml(config), {path[0]: value for path, value in given if len(path) == 1})
    for path, value in given:
        _put(answer, path, value)
    return answer


def _assigned(text: str) -> tuple[list[str], Any]:
    """The names that lead to a setting, and its value, from ``key=value``."""
    key, equals, value = text.partition("=")
    path = key.split(".")
    if not equals or not all(path):
        raise UsageError(f"--set expects KEY=VALUE, got {text!r}. For instance: --set lr=0.001 --set augment.flip=false")
    return path, _parse(value, f"--set {key}")


def _read_yaml(path: Path) -> dict[str, Any]:
    content = _parse(path.read_bytes(), str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected settings as 'key: value' lines, got {type(content).__name__}.")
    return content


def _parse(text: str | bytes, source: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: not valid YAML: {error}") from error


def _put(settings: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for depth, key in enumerate(parents, start=1):
        if settings.get(key) is None:
            settings[key] = {}
        inner = settings[key]
        if not isinstance(inner, dict):
            raise UsageError(f"--set {'.'.join(path)}: {'.'.join(parents[:depth])} is {inner!r}, it holds no settings.")
        settings = inner
    settings[last] = value


# of the verbs whose figures are shown to others
as_tables = click.option("--markdown", is_flag=True, help="Print the tables as Markdown, to paste into an issue.")


def measuring(rounds: int, seconds: float, each: str, case: str) -> Callable[[Command], Command]:
    """Decorate a command that measures with how long: turns for each ``each``, and when no further ``case`` begins."""
    turns = f"Turns for each {each}; of one {case} none begins after two minutes."
    end = f"After so many seconds no further {case} begins."

    def decorate(command: Command) -> Command:
        end_option = click.option(
            "--max-seconds", metavar="S", type=FiniteRange(min=0), default=seconds, show_default=True, help=end
        )
        return click.option("--rounds", metavar="N", type=click.IntRange(min=1), default=rounds, show_default=True, help=turns)(
            end_option(command)
        )

    return decorate


def check_new(out: Path | None) -> None:
    """Raises :class:`UsageError` when ``out`` is there and no empty folder, or none can be made: asked before the work, not after it."""
    from ..weights.atomic import check_absent, check_writable

    if out is None:
        return
    if not (out.is_dir() and not any(out.iterdir())):
        check_absent(out)
    check_writable(out)


class FiniteRange(click.FloatRange):
    """A range of numbers that "nan", which is neither too small nor too large, is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


def check_form(as_json: bool, markdown: bool) -> None:
    """Raises :class:`UsageError` where a result is asked for in two forms at once."""
    if as_json and markdown:
        raise UsageError("--json and --markdown are two forms of one result. Mend: leave one of them out")


def print_json(value: Any) -> None:
    """JSON on stdout; a number that is not finite, which JSON does not have, becomes null."""
    # bytes, since JSON is UTF-8 whatever the terminal's encoding; half a character of a file name becomes JSON's own escape
    click.echo(json.dumps(_finite(value), ensure_ascii=False, indent=2).encode("utf-8", "backslashreplace"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def warn(message: str) -> None:
    """A warning on stderr, shown whatever ``-q`` says."""
    click.echo(f"warning: {message}", err=True)


def say(message: str, quiet: bool = False) -> None:
    """Progress on stderr."""
    if not quiet:
        click.echo(message, err=True)


def say_doubts(model: Any, quiet: bool = False) -> None:
    """Why ``model`` may answer otherwise than where its weights come from, on stderr."""
    from ..data.collection import shown
    from ..weights.attached import attached
    from ..weights.saved import sentences

    for doubt in sentences(attached(model).metadata, "doubts"):
        say(f"note: {shown(doubt)}", quiet)


def next_command(*words: str | Path, quiet: bool = False) -> None:
    """End a verb with the command to type next, on stderr: ``next_command("swinkit", "evaluate", run)``."""
    say(f"Next: {shlex.join(no_option(word) if isinstance(word, Path) else word for word in words)}", quiet)


def no_option(name: str | Path) -> str:
    """The ``name`` of a file as it can stand in any command; one that begins with a dash would be taken for an option."""
    return f"./{name}" if str(name).startswith("-") else str(name)


def same_command(out: str, dry_run: bool = False, quiet: bool = False) -> None:
    """End a verb whose many options are not repeated with what keeps its result; ``dry_run`` where there is none yet."""
    say(f"Next: the same command with --out {out}{' instead of --dry-run' if dry_run else ''}", quiet)


class bar:
    """A progress bar on stderr if somebody looks; entering gives ``progress(done, total, text)``, where ``text`` may replace the first."""

    def __init__(self, text: str, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        layout = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        self._progress = Progress(*layout, console=console, transient=True, disable=quiet or not console.is_terminal)
        self._task = self._progress.add_task(text, total=None)

    def __enter__(self) -> Callable[..., None]:
        self._progress.start()
        return self._show

    def _show(self, done: int, total: int, text: str | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total, description=text)

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()
