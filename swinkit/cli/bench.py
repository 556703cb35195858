"""``swinkit bench``: what a model costs on this machine, counted and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import click

from .given import engine, network
from .options import SIZE, check_new, next_command, paced, print_json, say, shared, warn

Asked = TypeVar("Asked")


@click.command("bench")
@click.argument("model", type=network())
@click.option(
    "--batch-size", "batches", metavar="N", type=click.IntRange(min=1), multiple=True,
    help="Pictures that go through the model at once; repeatable; 1 and 8 by default.",
)  # fmt: skip
@click.option(
    "--image-size",
    "sizes",
    type=SIZE,
    multiple=True,
    help="Size of a picture in pixels; repeatable; the model's own by default.",
)
@click.option(
    "--precision", "precisions", type=click.Choice(["float32", "bfloat16"]), multiple=True,
    help="Repeatable; by default float32, and bfloat16 where the processor has it.",
)  # fmt: skip
@click.option(
    "--engine", "engines", type=engine("auto", "plain", "all"), metavar="NAME", multiple=True,
    help="Repeatable; auto, the fastest here, and plain, the network as it is trained, by default; native, onednn, openvino, onnxruntime, compiled, eager, or all.",
)  # fmt: skip
@paced(10, 900, "engine", "case")
@click.option(
    "--floor/--no-floor", default=True, show_default=True, help="Measure the GEMM floor of this machine beside the model."
)
@shared(
    "out", "dry_run", "json", "quiet",
    out="A new folder for bench.html and bench.json; by default nothing is written.", dry_run="Only count: nothing is measured.",
)  # fmt: skip
def command(
    model: str, batches: tuple[int, ...], sizes: tuple[tuple[int, int], ...], precisions: tuple[str, ...],
    engines: tuple[str, ...], rounds: int, max_seconds: float, floor: bool, out: Path | None, dry_run: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Count and measure MODEL: parameters, MACs by part, latency, throughput and memory on this machine's processor.

    MODEL is a run, a saved model, or the name of a variant, which gets random weights: they are as fast as trained ones. Beside each latency
    stands the GEMM floor, the time of the linear layers alone. --dry-run only counts. --out writes a folder with bench.html and bench.json.

    \b
    swinkit bench swin_nano.fashion_mnist
    swinkit bench swin_t --batch-size 1 --image-size 224 --image-size 480x640 --out swin_t
    swinkit bench swinv2_t --engine all --precision float32
    """
    check_new(out)
    from ..runtime.kinds import ENGINES
    from ..study import bench
    from . import studying

    batches, sizes, precisions = _once(batches), _once(sizes), _once(precisions)
    engines = _once(("auto", "plain", *ENGINES) if "all" in engines else engines or ("auto", "plain"))
    result = bench.count(model, sizes)
    if result["weights"] == "random" and not dry_run:
        say(f"{model} is a variant, so its weights are random; they are as fast as trained ones", quiet)
    own = tuple(result["config"]["image_size"])
    cases = bench.cases_of(batches or (1, 8), sizes or (own,), precisions)
    pace, until = bench.Pace(rounds=rounds), bench.Until(max_seconds)
    result["rows"] = []
    result["remarks"] = [] if dry_run else bench.without_bfloat16(precisions)
    if not dry_run:
        with studying.Narrator(quiet) as narrate:
            result["rows"] = bench.measure(model, cases, engines, pace, floor, until, narrate)
    result["environment"] = bench.environment()
    if as_json:
        print_json(result)
    else:
        _print(result)
    for remark in studying.remarks(result):
        warn(remark)
    if any(map(studying.bound_by_calls, result["rows"])):
        say(studying.CALLS, quiet)
    if out is not None:
        say(f"Written: {studying.keep(result, studying.bench_page(result, Path(model).name), out, 'bench')}", quiet)
    studying.check_measured(result["rows"], until)
    further = ("bench", model, "--out", "bench") if out is None else ("compare", model, "--out", "compare")
    next_command("swinkit", *further, quiet=quiet)


def _once(asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    return tuple(dict.fromkeys(asked))


def _print(result: dict[str, Any]) -> None:
    from . import studying

    click.echo(f"{result['model']}, {result['weights']} weights\n")
    studying.print_table(studying.parameters_table(result["parameters"]))
    click.echo()
    studying.print_table(studying.macs_table(result["macs"]["counted"]))
    if result["rows"]:
        click.echo()
        studying.print_table(studying.speed_table(result["rows"]))
