"""How long a command takes from a cold interpreter: `swinkit --help`, and one prediction, beside a bare `import torch`.

    python benchmarks/cold_start.py [--repeats 7]

Each command runs in a process of its own, the three in turn; files are in the page cache after the first round, which is not
counted. Raw seconds go to benchmarks/results/cold_start.json, after each round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from swinkit import machine
from swinkit.data.layouts import open_data

RESULTS = Path(__file__).with_name("results") / "cold_start.json"


def commands(picture: Path) -> dict[str, list[str]]:
    swinkit = [sys.executable, "-m", "swinkit"]
    return {
        "swinkit --help": [*swinkit, "--help"],
        "swinkit predict, one picture": [*swinkit, "predict", "swin_nano.fashion_mnist", str(picture)],
        "import torch": [sys.executable, "-c", "import torch"],
    }


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def keep(samples: dict[str, list[float]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    here = {
        "processor": machine.processor()["name"],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    RESULTS.write_text(json.dumps({"machine": here, "seconds": samples}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "boot.png"
        Image.fromarray(open_data("fashion-mini").read(0)[..., 0]).save(picture)
        samples: dict[str, list[float]] = {name: [] for name in commands(picture)}
        for turn in range(repeats + 1):
            for name, command in commands(picture).items():
                taken = seconds(command)
                if turn:
                    samples[name].append(round(taken, 4))
            keep(samples)
    for name, values in samples.items():
        print(f"{name:30} median {statistics.median(values):6.3f} s, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
