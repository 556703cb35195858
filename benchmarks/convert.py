"""What a conversion costs beyond importing libraries: seconds, megabytes, and how many copies of the weights are held at once.

    python benchmarks/convert.py                         # Swin-T and Swin-L to timm, transformers and torchvision
    python benchmarks/convert.py --models swin_l --to timm --repeats 1

A model with random weights is saved in Microsoft's format and converted by the command line. Memory is the resident set size of the
command and of its children together, sampled every 20 ms, each less what such a process takes when it has imported its libraries and
done nothing. A file that two processes map counts twice. The time of those imports is subtracted too. Linux alone has these figures.
Results go to benchmarks/results/convert.json; what was measured before of a model that is not asked for stays.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.bars import at_most
from common.measuring import Results, Table, figure, listed, options, tell
from common.processes import resident, runs, tree

from swinkit.study import statistics

BAR, LARGE = 2.5, 500  # copies held at most, of weights of so many megabytes
WITNESS = "swinkit.weights.witness"
MAKE = """
import sys, torch
from swinkit.tasks import create_model
from swinkit.weights.translation import export
from swinkit.weights.formats import DIALECTS
model = create_model(sys.argv[1])
torch.save({"model": export(model.state_dict(), model.config, DIALECTS["microsoft"])}, sys.argv[2])
print(sum(p.nbytes for p in model.parameters()))
"""
HERE = "import swinkit.cli.convert, swinkit.runtime.converting"
THERE = "import swinkit.weights.witness, importlib; importlib.import_module({library!r})"
LIBRARIES = {
    "timm": "timm",
    "transformers": "transformers",
    "torchvision": "torchvision.models.swin_transformer",
    "microsoft": "swinkit.weights.certificate",
}


def measure(command: list[str], here: int = 0, there: int = 0) -> tuple[float, int]:
    """Seconds and peak bytes of ``command``, beyond ``here`` bytes of its own and ``there`` of its witness; raises if it fails."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        own, *children = tree(process.pid)
        held = max(0, resident(own) - here)
        held += sum(max(0, resident(pid) - (there if runs(pid, WITNESS) else 0)) for pid in children)
        peak = max(peak, held)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.stderr.read() if process.stderr else "failed")
    return time.perf_counter() - start, peak


def cost(source: Path, out: Path, target: str, weights: int) -> dict[str, Any]:
    """One conversion of ``source``, beyond the imports of the command and of its witness."""
    here = measure([sys.executable, "-c", HERE])
    there = measure([sys.executable, "-c", THERE.format(library=LIBRARIES[target])])
    took = measure([sys.executable, "-m", "swinkit", "convert", str(source), str(out), "--to", target, "-q"], here[1], there[1])
    return {
        "to": target, "seconds": took[0], "seconds_beyond_imports": took[0] - here[0] - there[0],
        "megabytes_of_imports": [here[1] / 1e6, there[1] / 1e6], "megabytes_beyond_imports": took[1] / 1e6, "copies": took[1] / weights,
    }  # fmt: skip


def converted(model: str, targets: Sequence[str], repeats: int) -> Iterator[dict[str, Any]]:
    """Every conversion of a ``model`` with random weights, as it is measured."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source.pth"
        made = subprocess.run([sys.executable, "-c", MAKE, model, str(source)], capture_output=True, text=True)
        if made.returncode:
            raise SystemExit(f"{model} cannot be the source: {made.stderr.strip().splitlines()[-1]}")
        weights = int(made.stdout)
        for _ in range(repeats):
            for target in targets:
                suffix = ".pth" if target in ("torchvision", "microsoft") else ""
                # what large weights become does not pile up
                with tempfile.TemporaryDirectory() as folder:
                    found = cost(source, Path(folder) / f"{target}{suffix}", target, weights)
                yield {"model": model, "weights_megabytes": weights / 1e6, **found}


def row(model: str, target: str, samples: list[dict[str, Any]]) -> list[str]:
    seconds = statistics.median([[sample["seconds_beyond_imports"]] for sample in samples])
    held, copies = (max(sample[key] for sample in samples) for key in ("megabytes_beyond_imports", "copies"))
    bar = at_most(copies, BAR if samples[0]["weights_megabytes"] > LARGE else None)
    return [model, target, figure(seconds), f"{held:,.0f}", f"{copies:.1f}", bar]


def table(cases: list[dict[str, Any]]) -> Table:
    columns = ("model", "to", "s beyond imports", "MB beyond imports", "copies of the weights", "bar")
    pairs = dict.fromkeys((case["model"], case["to"]) for case in cases)
    rows = [row(*pair, [case for case in cases if (case["model"], case["to"]) == pair]) for pair in pairs]
    return Table(columns, rows, [f"Memory is the most of all repeats; its bar is for weights of more than {LARGE} MB."])


def main() -> None:
    chosen = options(__file__, __doc__, models="swin_t,swin_l", to="timm,transformers,torchvision", repeats=3)
    models, targets = chosen.models.split(","), listed(chosen.to, LIBRARIES)
    repeats = chosen.repeats
    if chosen.quick:
        models, targets, repeats = models[:1], targets[:1], 1
    results = Results(__file__, chosen.out, table, chosen.said)
    results.keep(lambda case: case["model"] not in models)
    for model in models:
        for case in converted(model, targets, repeats):
            tell(f"{model} to {case['to']}: {case['seconds']:.1f} s, {case['copies']:.1f} copies")
            results.add(case)
    results.finish()


if __name__ == "__main__":
    main()
