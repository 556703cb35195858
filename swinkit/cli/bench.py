"""``swinkit bench``: what a model costs on this machine, counted and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from ..runtime.kinds import PRECISIONS
from .given import engine, network
from .options import (
    SIZE,
    as_tables,
    check_form,
    check_new,
    measuring,
    next_command,
    print_json,
    same_command,
    say,
    shared,
    warn,
)

if TYPE_CHECKING:
    from ..study.plans import BenchPlan

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
    "--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True,
    help="Repeatable; by default float32, and bfloat16 where the processor has it.",
)  # fmt: skip
@click.option(
    "--engine", "engines", type=engine("auto", "plain", "all", "torch"), metavar="NAME", multiple=True,
    help="Repeatable; auto, the fastest here, and plain, the network as it is trained, by default; native, onednn, openvino, onnxruntime, compiled, eager, or all. Of a bundle its runtimes (torch for one of --to torch), of --train native and plain.",
)  # fmt: skip
@click.option(
    "--bundle", "bundles", metavar="FOLDER", type=network(), multiple=True,
    help="What `swinkit export` wrote of MODEL, measured in turn with it; repeatable.",
)  # fmt: skip
@click.option("--train", is_flag=True, help="Measure training steps instead of answers; batches of 8 and 32 by default.")
@click.option("--threads", metavar="N", type=click.IntRange(min=1), help="By default as many as torch and each runtime take.")
@measuring(10, 900, "engine", "case")
@click.option(
    "--floor/--no-floor",
    default=True,
    show_default=True,
    help="Measure the GEMM floor of this machine beside the model; --train and int8 have none.",
)
@as_tables
@shared(
    "out", "dry_run", "json", "quiet",
    out="A new folder for bench.html and bench.json; by default nothing is written.", dry_run="Only count: nothing is measured.",
)  # fmt: skip
def command(
    model: str, batches: tuple[int, ...], sizes: tuple[tuple[int, int], ...], rounds: int, max_seconds: float, out: Path | None,
    dry_run: bool, as_json: bool, markdown: bool, quiet: bool, **asked: Any,
) -> None:  # fmt: skip
    """Count and measure MODEL: parameters, MACs by part, latency, throughput and memory on this machine's processor.

    MODEL is a run, a saved model, a bundle that `swinkit export` wrote, or the name of a variant, which gets random weights: they are as fast
    as trained ones. Beside each latency stands the GEMM floor, the time of the linear layers alone. --dry-run only counts. --out writes a
    folder with bench.html and bench.json.

    \b
    swinkit bench swin_nano.fashion_mnist
    swinkit bench swin_t --batch-size 1 --image-size 224 --image-size 480x640 --out swin_t
    swinkit bench swinv2_t --engine all --precision float32
    swinkit bench runs/classify/shoes --bundle shoes-onnx --bundle shoes-openvino-int8
    swinkit bench swin_t --train --threads 2
    """
    check_new(out)
    check_form(as_json, markdown)
    from ..study import bench
    from ..study.turns import Pace, Until
    from .pages import studying

    plan = _plan(model, **asked)
    sizes = _once(sizes)
    result = {**bench.count(model, sizes), "step": plan.step}
    if result["weights"] == "random" and not dry_run:
        say(f"{model} is a variant, so its weights are random; they are as fast as trained ones", quiet)
    until = Until(max_seconds)
    result["rows"] = []
    result["remarks"] = [] if dry_run or plan.exported else bench.without_bfloat16(asked["precisions"])
    if not dry_run:
        cases = bench.cases_of(plan, _once(batches), sizes or (tuple(result["config"]["image_size"]),))
        with studying.Narrator(quiet) as narrate:
            result["rows"] = bench.measure(cases, plan, Pace(rounds=rounds), until, narrate)
    result["environment"] = bench.environment(plan.threads)
    if as_json:
        print_json(result)
    else:
        _print(result, markdown)
    for remark in studying.remarks(result):
        warn(remark)
    if any(map(studying.bound_by_calls, result["rows"])):
        say(studying.CALLS, quiet)
    if out is not None:
        say(f"Written: {studying.keep(result, studying.bench_page(result, Path(model).name), out, 'bench')}", quiet)
    studying.check_measured(result["rows"], until)
    if out is None:
        same_command("bench", dry_run, quiet)
    else:
        further = ("verify", model) if plan.exported else ("compare", model, "--out", "compare")
        next_command("swinkit", *further, quiet=quiet)


def _plan(
    model: str, engines: tuple[str, ...], precisions: tuple[str, ...], bundles: tuple[str, ...], train: bool, threads: int | None,
    floor: bool,
) -> BenchPlan:  # fmt: skip
    from ..study.plans import plan_inference, plan_training

    engines, precisions, bundles = _once(engines), _once(precisions), _once(bundles)
    if not train:
        return plan_inference(model, engines, bundles, precisions, floor, threads)
    if bundles:
        raise UsageError(f"{bundles[0]} is an exported graph, which learns no more. Mend: leave --bundle or --train out")
    return plan_training(model, engines, precisions, threads)


def _once(asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    return tuple(dict.fromkeys(asked))


def _print(result: dict[str, Any], markdown: bool) -> None:
    from .pages import studying
    from .pages.tables import macs_table, parameters_table, show, speed_table

    click.echo(f"{result['model']}, {result['weights']} weights")
    tables = [parameters_table(result["parameters"]), macs_table(result["macs"]["counted"])]
    if result["rows"]:
        tables.append(speed_table(result["rows"]))
    if markdown:
        tables.append(studying.machine_table(result["environment"]))
    for table in tables:
        click.echo()
        show(table, markdown)
