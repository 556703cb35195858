"""How long a command takes from a cold interpreter: `swinkit --help`, and one prediction, beside a bare `import torch`.

    python benchmarks/cold_start.py [--repeats 7]

Each command runs in a process of its own, the three in turn; files are in the page cache after the first round, which is not
counted. Results go to benchmarks/results/cold_start.json.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.bars import at_most
from common.measuring import Results, Table, figure, medians, options, timed
from PIL import Image

from swinkit.data.layouts import open_data

HELP, PREDICT, TORCH = "swinkit --help", "swinkit predict, one picture", "import torch"
BARS = {HELP: 0.3}


def commands(picture: Path) -> dict[str, list[str]]:
    swinkit = [sys.executable, "-m", "swinkit"]
    return {
        HELP: [*swinkit, "--help"],
        PREDICT: [*swinkit, "predict", "swin_nano.fashion_mnist", str(picture)],
        TORCH: [sys.executable, "-c", "import torch"],
    }


def table(cases: list[dict[str, Any]]) -> Table:
    rows = [[name, figure(seconds, None), at_most(seconds.value, BARS.get(name))] for name, seconds in medians(cases).items()]
    return Table(("command", "s", "bar"), rows)


def main() -> None:
    chosen = options(__file__, __doc__, repeats=7)
    results = Results(__file__, chosen.out, table, chosen.said)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "boot.png"
        Image.fromarray(open_data("fashion-mini").read(0)[..., 0]).save(picture)
        run = functools.partial(subprocess.run, check=True, capture_output=True)
        subjects = {name: functools.partial(run, command) for name, command in commands(picture).items()}
        timed(subjects)
        for _ in range(1 if chosen.quick else chosen.repeats):
            results.add({"seconds": timed(subjects)})
    results.finish()


if __name__ == "__main__":
    main()
