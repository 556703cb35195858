"""What a conversion costs beyond importing libraries: seconds, megabytes, and how many copies of the weights are held at once.

    python benchmarks/convert.py                         # Swin-T to timm, transformers and torchvision
    python benchmarks/convert.py --model swin_l          # the bar for large models: at most 2.5 copies

A model with random weights is saved in Microsoft's format and converted by the command line. Memory is the resident set size of the
command and of its children together, sampled every 20 ms, each less what such a process takes when it has imported its libraries and
done nothing. A file that two processes map counts twice. The time of those imports is subtracted too. Linux alone has these figures. Results go to benchmarks/results/convert.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swinkit import machine

MAKE = """
import sys, torch
from swinkit.tasks import create_model
from swinkit.weights.translation import export
from swinkit.weights.formats import DIALECTS
model = create_model(sys.argv[1])
torch.save({"model": export(model.state_dict(), model.config, DIALECTS["microsoft"])}, sys.argv[2])
print(sum(p.nbytes for p in model.parameters()))
"""
HERE = "import swinkit.cli.convert, swinkit.tasks, swinkit.weights.conversion, swinkit.data.transforms, swinkit.data.bundled"
THERE = "import swinkit.weights.witness, importlib; importlib.import_module({library!r})"
LIBRARIES = {
    "timm": "timm",
    "transformers": "transformers",
    "torchvision": "torchvision.models.swin_transformer",
    "microsoft": "swinkit.weights.certificate",
}


def tree(root: int) -> list[int]:
    """``root`` and all processes below it."""
    found = [root]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


def resident(pid: int) -> int:
    """Resident set size in bytes, 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def is_witness(pid: int) -> bool:
    try:
        return b"swinkit.weights.witness" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def measure(command: list[str], here: int = 0, there: int = 0) -> tuple[float, int]:
    """Seconds and peak bytes of ``command``, beyond ``here`` bytes of its own and ``there`` of its witness; raises if it fails."""
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        own, *children = tree(process.pid)
        held = max(0, resident(own) - here)
        held += sum(max(0, resident(pid) - (there if is_witness(pid) else 0)) for pid in children)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="swin_t")
    parser.add_argument("--to", nargs="+", default=["timm", "transformers", "torchvision"], choices=list(LIBRARIES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "convert.json")
    options = parser.parse_args()
    known = json.loads(options.out.read_text("utf-8"))["samples"] if options.out.exists() else []
    rows = [row for row in known if row["model"] != options.model]
    options.out.parent.mkdir(exist_ok=True)
    here = {"platform": platform.platform(), "processor": machine.processor()["name"], "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "source.pth"
        made = subprocess.run([sys.executable, "-c", MAKE, options.model, str(source)], capture_output=True, text=True)
        if made.returncode:
            raise SystemExit(f"{options.model} cannot be the source: {made.stderr.strip().splitlines()[-1]}")
        weights = int(made.stdout)
        for repeat in range(options.repeats):
            for target in options.to:
                suffix = ".pth" if target in ("torchvision", "microsoft") else ""
                row = cost(source, Path(scratch) / f"{target}{repeat}{suffix}", target, weights)
                rows.append({"model": options.model, "weights_megabytes": weights / 1e6, **row})
                print(json.dumps(rows[-1]), flush=True)
                options.out.write_text(json.dumps({"machine": here, "samples": rows}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
