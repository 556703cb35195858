"""``swinkit export`` and ``swinkit verify``: a model as a bundle that other programs run, and the proof that it answers as before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import GateError, UsageError
from ..runtime.export.gate import Gate
from .given import DATA, MODEL
from .options import next_command, print_json, say, shared

if TYPE_CHECKING:
    from ..runtime.export.bundle import Manifest

TARGETS = ("onnx", "openvino", "torch")
RUNTIMES = ("onnxruntime", "openvino", "torch")
# option -> bar of the gate, and what is held to it
BARS = {
    "--min-agreement": ("agreement", "Share of the judging pictures to which int8 gives the answer of float32."),
    "--max-accuracy-drop": ("accuracy_drop", "How much of top-1 int8 may lose, as a share."),
    "--max-class-drop": ("class_drop", "How much of the recall of any class."),
    "--min-speedup": ("speedup", "How many times as fast as the faster float int8 must be to end with code 0."),
}


@dataclass(frozen=True)
class Options:
    """What is exported how, but for its target, its place and the bars of int8."""

    with_preprocessing: bool
    layout: str | None
    int8: bool
    calibrate: str | None
    evaluate: str | None
    as_json: bool
    quiet: bool


def bars(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with :data:`BARS`; each arrives under the name of its bar, None where it was not given."""
    for option, (bar, told) in reversed(BARS.items()):
        told = f"{told}  [default: {getattr(Gate, bar)}]"
        command = click.option(option, bar, type=float, metavar="X", help=told)(command)
    return command


@click.command("export")
@click.argument("model", type=MODEL)
@click.option("--to", "target", type=click.Choice(TARGETS), help="What shall run it.  [default: onnx; openvino with --int8]")
@click.option(
    "--with-preprocessing", is_flag=True, help="The graph takes uint8 pictures; scaling and normalisation are inside."
)
@click.option("--layout", type=click.Choice(["nhwc", "nchw"]), help="Of those pictures.  [default: nhwc]")
@click.option(
    "--int8", is_flag=True, help="Quantise; kept only if answers stay, code 4 if they do not or it is no faster here."
)
@click.option("--calibrate", type=DATA, metavar="DATA", help="Pictures that tell int8 its ranges.")
@click.option("--evaluate", type=DATA, metavar="DATA", help="Pictures that judge it.  [default: those that DATA keeps for it]")
@bars
@shared("out", "json", "quiet", out="A new folder, by default MODEL-onnx, -openvino, -torch or -openvino-int8 here.")
def export_command(model: str, target: str | None, out: Path | None, **given: Any) -> None:
    """Write MODEL as one graph for every batch, height and width, into a folder with its classes and golden answers.

    The folder gets its name only after the graph, read back from the disk, answered as PyTorch does, within 1e-4 of the
    largest logit, at seven sizes and three batches. Pictures come to the graph at the size the model shall see; resizing stays outside.

    \b
    swinkit export runs/classify/shoes
    swinkit export runs/classify/shoes --to openvino --with-preprocessing
    swinkit export runs/classify/shoes --int8 --calibrate shoes/
    """
    held = {bar: value for bar, _ in BARS.values() if (value := given.pop(bar)) is not None}
    options = Options(**given)
    target = target or ("openvino" if options.int8 else "onnx")
    gate = _check(target, options, held)
    out = out or default_folder(model, f"{target}-int8" if options.int8 else target)
    from ..runtime.export.bundle import Input, Refused
    from ..weights.atomic import check_absent

    check_absent(out)
    layout = "NCHW" if options.layout == "nchw" else "NHWC"
    pictures = Input(dtype="uint8", layout=layout) if options.with_preprocessing else Input()  # type: ignore[arg-type]
    try:
        if options.int8:
            _export_int8(model, out, pictures, gate, options)
        else:
            _export(model, out, target, pictures, options)
    except Refused as refused:
        if options.as_json:
            print_json({**_facts(None, refused.manifest), "refused": str(refused)})
        raise
    next_command("swinkit", "verify", out, quiet=options.quiet)


def _check(target: str, options: Options, held: Mapping[str, float]) -> Gate:
    """What int8 is held to, the bars ``held`` among it; raises :class:`UsageError` for options that have no use for one another."""
    if options.layout and not options.with_preprocessing:
        raise UsageError("--layout says how pictures lie that the graph normalises itself. Add --with-preprocessing")
    if options.int8 and target != "openvino":
        raise UsageError(f"int8 graphs are made for OpenVINO, not for {target}. Leave --to out")
    if options.int8 and not options.calibrate:
        raise UsageError(
            "--int8 needs pictures to learn its ranges from. Add --calibrate DATA: a folder, such as the training data"
        )
    if not options.int8 and (options.calibrate or options.evaluate):
        raise UsageError("--calibrate and --evaluate are for --int8. Add it, or leave them out")
    if not options.int8 and held:
        named = ", ".join(option for option, (bar, _) in BARS.items() if bar in held)
        raise UsageError(f"{named}: bars for --int8. Add it, or leave them out")
    return Gate(**held)


def _export(model: str, out: Path, target: str, given: Any, options: Options) -> None:
    from ..runtime.export.exporting import export

    bundle = export(model, out, target, given, clock(options.quiet))  # type: ignore[arg-type]
    if options.as_json:
        print_json({**_facts(bundle.path, bundle.manifest), "seconds": bundle.seconds})
    else:
        _print_table(bundle.manifest)


def _export_int8(model: str, out: Path, given: Any, gate: Gate, options: Options) -> None:
    from ..runtime.export.int8 import export_int8
    from ..tasks import decoder_of, load
    from .calibrating import find_pictures

    # _check demands it
    assert options.calibrate
    network = load(model)
    decoder_of(network)  # what decides nothing cannot be judged
    pictures = find_pictures(model, network, options.calibrate, options.evaluate, options.quiet)
    bundle, verdict = export_int8(network, out, pictures, given, gate, clock(options.quiet))
    if options.as_json:
        print_json({**_facts(bundle.path, bundle.manifest), "seconds": bundle.seconds})
    else:
        click.echo(str(verdict))
    if not verdict.worth_it:
        raise GateError(
            f"int8 answers as it should but is not worth it here: {verdict.speedup:.2f} times as fast as the faster of "
            f"{', '.join(name for name in verdict.seconds if name != 'int8')}, wanted {gate.speedup:g}. {out} is kept, for other machines or for its size"
        )


@click.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--runtime", type=click.Choice(RUNTIMES), help="By default every installed one that runs the graph.")
@shared("json", "quiet")
def verify_command(bundle: Path, runtime: str | None, as_json: bool, quiet: bool) -> None:
    """Check an exported BUNDLE: that its files are whole, and that its graph answers here as it did where it was made.

    Needs the runtime alone, not PyTorch (but for bundles of --to torch). The exit code is 4 when an answer differs.

    \b
    swinkit verify shoes-onnx
    """
    from ..runtime.export.bundle import open_bundle
    from ..runtime.export.verifying import ask, checked, hold

    opened = open_bundle(bundle)
    checks = ask(opened, runtime, clock(quiet))
    manifest = checked(opened.manifest, checks)
    if as_json:
        print_json(_facts(bundle, manifest))
    else:
        _print_table(manifest)
    hold(opened, checks)
    if not as_json:
        click.echo(f"verified: the files are whole, and {bundle} answers here as it did where it was made")
    next_command("swinkit", "predict", bundle, "PICTURE", quiet=quiet)


def default_folder(model: str, target: str) -> Path:
    """A name in the current folder that says what is in it."""
    return Path(f"{Path(model).resolve().name or 'model'}-{target}")


def clock(quiet: bool) -> Callable[[str], None]:
    """Progress lines on stderr, each with the seconds since the start."""
    begun = time.monotonic()
    return lambda line: say(f"{time.monotonic() - begun:6.1f} s  {line}", quiet)


def _facts(bundle: Path | None, manifest: Manifest) -> dict[str, Any]:
    """What a script reads; ``bundle`` is None where none was kept."""
    kept = ("target", "precision", "input", "output", "tolerance", "tolerances", "checks", "int8")
    told = manifest.model_dump(mode="json", include=set(kept))
    return {"bundle": bundle and str(bundle), **{name: told[name] for name in kept if told[name] is not None}}


def _print_table(manifest: Manifest) -> None:
    """The largest difference at each size, a column per runtime; beside it what is allowed, where each size has its own bar."""
    checks = manifest.checks
    runtimes = list(dict.fromkeys(f"{check['runtime']} {check['version']}" for check in checks))
    errors = {(f"{check['runtime']} {check['version']}", tuple(check["size"])): check["error"] for check in checks}
    click.echo(
        f"{'height x width':16}" + "".join(f"{name:>24}" for name in [*runtimes, *(["at most"] if manifest.tolerances else [])])
    )
    for height, width in dict.fromkeys(tuple(check["size"]) for check in checks):
        found = (errors[name, (height, width)] for name in runtimes)
        row = "".join(f"{'no answer':>24}" if error is None else f"{error:24.1e}" for error in found)
        allowed = f"{manifest.tolerance_at((height, width)):24.1e}" if manifest.tolerances else ""
        click.echo(f"{f'{height} x {width}':16}{row}{allowed}")
    click.echo(f"largest difference of a logit, batches 1 to 3; at most {manifest.tolerance:.2g} is allowed")
