"""The command ``swinkit``: a table of verbs, imported when they are called, and one place that turns faults into exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click

from .. import __version__
from ..errors import SwinkitError, nearest
from ..memory import ran_out_of_memory

# verb -> (where its click command is, its line in --help, kept here so that --help imports none of them)
VERBS: dict[str, tuple[str, str]] = {
    "train": ("swinkit.cli.train:command", "Train a model on your pictures."),
    "pretrain": ("swinkit.cli.pretrain:command", "Learn from pictures without labels, and tell whether it paid."),
    "evaluate": ("swinkit.cli.evaluate:command", "Judge a model: accuracy with intervals, classes, calibration, a report."),
    "predict": ("swinkit.cli.predict:command", "Classify pictures, one row per input."),
    "export": ("swinkit.cli.export:export_command", "Write a model for ONNX Runtime, OpenVINO or torch.export, proven."),
    "verify": ("swinkit.cli.export:verify_command", "Check that an exported model answers as it did."),
    "explain": ("swinkit.cli.explain:command", "Show why a model answers as it does for one picture, and whether to trust it."),
    "inspect": ("swinkit.cli.inspect:command", "Say what a file of weights is, without running anything in it."),
    "convert": ("swinkit.cli.convert:command", "Write weights in another library's format, proven to be the same network."),
    "bench": ("swinkit.cli.bench:command", "Count what a model computes, and measure how fast and in how much memory."),
    "compare": ("swinkit.cli.compare:command", "Compare Swins and Vision Transformers over resolutions."),
    "data": ("swinkit.cli.data:command", "Check a set of pictures and advise on the input size."),
    "tour": ("swinkit.cli.tour:command", "Walk through Swin on a picture: one interactive page."),
    "demo": ("swinkit.cli.demo:command", "Watch a small Swin learn, on real pictures, without a network."),
    "doctor": ("swinkit.cli.doctor:doctor", "Say what this machine offers swinkit and what is missing."),
}

INTERRUPTED = 130
# How often a thread without work looks for some before it sleeps. By default libgomp looks 300,000 times, some milliseconds, and where another
# program is at work that keeps the core from the very thread that is waited for. Much less, and helpers fall asleep between any two calls
# from Python: on an idle machine steps of a small network then take a third longer.
SPINS = "10000"
WITHOUT_MEMORY = (
    "memory did not suffice. Mend: smaller pictures or fewer at once, a smaller model, or a machine with more memory free"
)


class LazyGroup(click.Group):
    """A group whose commands come from :data:`VERBS`; only the verb that is called gets imported."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, attribute = VERBS[cmd_name][0].split(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb not in VERBS and not verb.startswith("-"):
            remedy = nearest(verb, VERBS, f"Verbs: {', '.join(VERBS)}.")
            raise click.UsageError(f"No such verb {verb!r}. {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        answer = super().invoke(ctx)
        if sys.stdout is not None:  # which it is where a shell closed it
            sys.stdout.flush()  # here, so that a reader that went away is met inside click, which ends quietly
        return answer


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="swinkit")
def cli() -> None:
    """The toolkit for Swin Transformers: train, measure, explain, speed up and export, on your own pictures."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0 done, 1 failed, 2 usage, 3 bad data, 4 gate failed, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not valid text must not end a run when it is printed
            stream.reconfigure(errors="backslashreplace")
    share_cores()
    heed_sigterm()
    sys.exit(run(arguments))


def heed_sigterm() -> None:
    """Have SIGTERM end a command as Ctrl-C does, which keeps what there is and clears away the rest; some verbs heed it their own way.

    One that is ignored stays so. A handler can be set in the main thread alone.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def share_cores() -> None:
    """Have threads that wait give way to others soon, unless the user said how they wait; libgomp reads it when torch is imported."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a fault is one message on stderr, its traceback only with SWINKIT_DEBUG."""
    try:
        code = cli.main(arguments, prog_name="swinkit", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return _report("interrupted", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SwinkitError as error:
        return _report(str(error), error.exit_code)
    except OSError as error:
        return _report(_describe(error), SwinkitError.exit_code)
    except Exception as error:
        if ran_out_of_memory(error):
            return _report(f"{WITHOUT_MEMORY} ({error})" if str(error) else WITHOUT_MEMORY, SwinkitError.exit_code)
        name = type(error).__name__
        return _report(f"{name}: {error}\nThis is a fault of swinkit; SWINKIT_DEBUG=1 shows where.", SwinkitError.exit_code)


def _report(message: str, code: int) -> int:
    if os.environ.get("SWINKIT_DEBUG"):
        import traceback

        traceback.print_exc()
    click.echo(f"swinkit: {message}", err=True)
    return code


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
