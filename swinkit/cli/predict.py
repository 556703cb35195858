"""``swinkit predict``: one row per input, on the screen or in a file that a killed run continues."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DataError, Interrupted, UsageError
from ..machine import usable_cores
from ..runtime.kinds import PRECISIONS
from .given import MODEL, engine
from .options import (
    SIZE,
    FiniteRange,
    at_size,
    next_command,
    no_option,
    print_json,
    same_command,
    say,
    say_doubts,
    shared,
    warn,
)

if TYPE_CHECKING:
    from ..runtime.inputs import Input
    from ..runtime.journal import Journal
    from ..runtime.rows import Columns, Row, Tally

FORMATS = ("table", "jsonl", "csv", "parquet")
LOOKED_AT = 100  # inputs, before the model is loaded
PATIENCE = 30  # seconds for one picture
FEW = 3  # inputs, up to which the next command names them


@dataclass(frozen=True)
class Options:
    """How it is answered and where to; ``kind`` is one of :data:`FORMATS`, None where ``out`` decides."""

    kind: str | None
    top: int
    embeddings: bool
    null: bool
    image_size: tuple[int, int] | None
    batch_size: int | None
    engine: str
    precision: str
    out: Path | None
    device: str
    as_json: bool
    quiet: bool


@click.command("predict")
@click.argument("model", type=MODEL)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="How rows are written; by default as the suffix of --out says, else a table.",
)
@click.option(
    "--top", metavar="N", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes each row names."
)
@click.option("--embeddings", is_flag=True, help="Add the pooled feature vector of each picture.")
@click.option("-0", "--null", is_flag=True, help="The list on stdin is separated by NUL, as find -print0 writes it.")
@click.option("--image-size", type=SIZE, help="Scale pictures to this size in pixels instead of the model's.")
@click.option(
    "--batch-size", metavar="N", type=click.IntRange(min=1), help="Pictures that go through the model at once; 32 by default."
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=0),
    help="Processes that decode, by default one a core, four at most; 0 decodes in this one, without protection.",
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0, min_open=True, max=86400),
    metavar="S",
    help=f"Longest time in seconds that decoding one picture may take, {PATIENCE} by default.",
)
@click.option(
    "--engine",
    type=engine("auto"),
    default="native",
    show_default=True,
    metavar="NAME",
    help="What computes on the CPU: native, onednn, openvino, onnxruntime, compiled or eager; auto measures.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", *PRECISIONS]),
    default="auto",
    show_default=True,
    help="float32 is exact; bfloat16 rounds to three digits; auto is bfloat16 where the processor multiplies it.",
)
@shared(
    "out", "device", "json", "quiet",
    out="A new file for the rows, as .jsonl, .csv or .parquet; by default they go to the screen. The same command again continues a run that was killed.",
)  # fmt: skip
def command(model: str, inputs: tuple[str, ...], workers: int | None, seconds: float | None, **given: Any) -> None:
    """Classify pictures with MODEL: one row per input, in their order; what cannot be read gets its reason.

    INPUT is a file, a folder (with all below it), a pattern in quotes, or - for a list of files on stdin. The exit code is
    0 when at least one input was answered and 3 when none was. With --out, the same command continues a run that was killed.
    MODEL is a run, a saved model of any library, a name, or an exported bundle.

    \b
    swinkit predict runs/classify/shoes photo.jpg
    swinkit predict runs/classify/shoes new-photos/ --out predictions.csv
    find photos -name '*.jpg' -print0 | swinkit predict runs/classify/shoes - -0 --json
    """
    options = Options(**given)
    kind = _format(options.kind, options.out, options.as_json)
    if kind == "table" and options.embeddings:
        raise UsageError("A table shows no embeddings. Add --json, or --out with a file for them")
    if workers == 0 and seconds is not None:
        raise UsageError("--seconds bounds decoding by other processes, of which --workers 0 has none. Leave one of them out")
    listed = _inputs(inputs, options.null)
    if kind == "table":  # the other formats have columns that the model decides
        listed = _some_readable(listed)
    from ..data.decode import decode
    from ..runtime.isolation import Decoders

    workers = min(4, usable_cores()) if workers is None else workers
    guard: AbstractContextManager[Any] = Decoders(seconds or PATIENCE) if workers else nullcontext(decode)
    with guard as decode_one:  # its processes start while torch is imported
        tally = _answer(model, listed, kind, decode_one, workers, options)
    _conclude(tally, options.out, options.as_json, options.quiet)
    if not options.out:
        _propose(model, inputs, options)


def _answer(
    model: str, listed: Iterable[Input], kind: str, decode_one: Callable[..., Any], workers: int, options: Options
) -> Tally:
    """Ask ``model`` about what is ``listed``; rows go into the file of ``options``, or to the screen as they come."""
    from ..runtime.journal import Journal
    from ..runtime.predictor import Predictor
    from ..runtime.rows import WRITERS, Columns, Tally, to_row

    predictor = Predictor(model, options.image_size, options.device, options.batch_size, options.engine, options.precision)
    say_doubts(predictor.model, options.quiet)
    columns = Columns(min(options.top, len(predictor.classes)), predictor.multi_label, options.embeddings)

    def rows(items: Iterable[Input]) -> Iterator[Row]:
        for answer in predictor.stream(items, options.embeddings, decode_one, workers):
            yield to_row(answer, columns)

    if options.out:
        journal = Journal(options.out, {"model": predictor.fingerprint(), **columns._asdict()})
        return _write(rows, listed, journal, lambda done, file: WRITERS[kind](done, file, columns), options.quiet)
    tally = Tally()
    _print(tally.count(rows(listed)), kind, columns, predictor.classes)
    return tally


def _propose(model: str, inputs: tuple[str, ...], options: Options) -> None:
    """The command that keeps what has only been shown."""
    if len(inputs) > FEW or "-" in inputs:  # a shell writes out *.jpg, and a list came from another command
        same_command("predictions.csv", quiet=options.quiet)
    else:
        further = (*map(no_option, inputs), *at_size(options.image_size), "--out", "predictions.csv")
        next_command("swinkit", "predict", model, *further, quiet=options.quiet)


def _format(kind: str | None, out: Path | None, as_json: bool) -> str:
    if out is None:
        if as_json and kind not in (None, "jsonl"):
            raise UsageError(f"--json prints rows as --format jsonl does, and --format says {kind}. Leave one of them out")
        chosen = kind or ("jsonl" if as_json else "table")
        if chosen == "parquet":
            raise UsageError("Parquet does not go to the screen. Name a file: --out predictions.parquet")
        if sys.stdout is None:
            raise UsageError("Standard output is closed. Name a file: --out predictions.csv")
        return chosen
    if kind == "table":
        raise UsageError("--format table is for the screen. With --out use jsonl, csv or parquet, or leave --format out")
    from ..runtime.rows import format_of

    chosen = kind or format_of(out)
    if chosen not in FORMATS[1:]:
        raise UsageError(f"--out {out} does not say its format. Use the suffix .jsonl, .csv or .parquet, or --format")
    from ..weights.atomic import check_absent

    check_absent(out)
    return chosen


def _inputs(arguments: tuple[str, ...], null: bool) -> Iterator[Input]:
    from ..runtime.inputs import expand, read_list

    if "-" in arguments and sys.stdin is None:
        raise UsageError("- means a list of files on stdin, which is closed. Pipe one in, or name a folder")
    if null and "-" not in arguments:
        raise UsageError(
            "-0 says how a list on stdin is separated, and no INPUT is -, which stands for one. Add - or leave -0 out"
        )
    each = (read_list(sys.stdin.buffer, null) if argument == "-" else expand([argument]) for argument in arguments)
    return chain.from_iterable(each)


def _some_readable(listed: Iterator[Input]) -> Iterator[Input]:
    """``listed`` as it was. If it ends soon, and nothing in it can be read, its rows are shown at once; raises :class:`DataError` then."""
    lead: list[Input] = []
    for item in islice(listed, LOOKED_AT):
        lead.append(item)
        if item.fault is None:
            break
    if len(lead) < LOOKED_AT and all(item.fault for item in lead):
        from ..results import Failure
        from ..runtime.rows import Columns, Tally, to_row

        tally = Tally()
        _print(tally.count(to_row(Failure(item.name, str(item.fault)), Columns()) for item in lead), "table", Columns(), ())
        _conclude(tally, None, as_json=False, quiet=False)  # which raises, since no row is an answer
    return chain(lead, listed)


def _print(rows: Iterable[Row], kind: str, columns: Columns, classes: Sequence[str]) -> None:
    from ..runtime.rows import WRITERS, to_text

    if kind != "table":
        WRITERS[kind](rows, sys.stdout.buffer, columns)
        return
    width = max(map(len, classes), default=0)
    for row in rows:
        click.echo(to_text(row, width))


def _write(
    rows: Callable[[Iterable[Input]], Iterator[Row]], listed: Iterable[Input], journal: Journal, writer: Any, quiet: bool
) -> Tally:
    if journal.note:
        warn(journal.note)
    if journal.tally.rows:
        say(f"Continuing: {journal.tally.rows:,} rows are in {journal.part} already", quiet)
    try:
        for row in _shown(rows(journal.remaining(listed)), quiet):
            journal.append(row)
    except KeyboardInterrupt:
        kept = f"Stopped: {journal.tally.rows:,} rows are kept in {journal.part}; the same command continues"
        raise Interrupted(kept) from None
    journal.finish(writer)
    return journal.tally


def _shown(rows: Iterator[Row], quiet: bool) -> Iterator[Row]:
    """``rows`` as they are, with their number and pace on stderr if somebody looks."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    layout = SpinnerColumn(), TextColumn("{task.completed:,} inputs"), TaskProgressColumn(show_speed=True), TimeElapsedColumn()
    with Progress(*layout, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        yield from progress.track(rows)


def _conclude(tally: Tally, out: Path | None, as_json: bool, quiet: bool) -> None:
    if not tally.rows:
        raise DataError("There was nothing to classify: the list of inputs is empty")
    if out and as_json:
        print_json({"out": str(out), "inputs": tally.rows, "ok": tally.ok, "errors": tally.rows - tally.ok})
    where = f" -> {out}" if out else ""
    if not tally.ok:
        raise DataError(f"None of {tally.rows:,} inputs could be answered; each row says why{where}")
    failed = f", {tally.rows - tally.ok:,} could not; each row says why" if tally.rows > tally.ok else ""
    say(f"{tally.ok:,} of {tally.rows:,} inputs answered{failed}{where}", quiet)
