"""How many copies of its weights a conversion holds, measured as ``benchmarks/convert.py`` does: resident memory of all its processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.common.processes import resident, runs, tree
from swinkit.config import SwinConfig
from swinkit.weights.formats import DIALECTS
from swinkit.weights.streams import write_pth
from swinkit.weights.translation import expected_state, export

MOST = 2.5  # copies, of which issue and README speak for Swin-L
WITNESS = "swinkit.weights.witness"
SMALL, LARGE = 8, 384  # channels; the second has 172 MB of weights, beside which noise is small
CONVERTS = """
import sys
from swinkit.cli.main import run
sys.exit(any(run(["convert", f"{name}.pth", name, "--to", "timm", "-q"]) for name in ("small", "large")))
"""


def write(path: Path, embed_dim: int) -> int:
    """Microsoft's file of a network so wide, at ``path``; returns the bytes of its weights."""
    config = SwinConfig(embed_dim=embed_dim, depths=(1, 1, 1), num_heads=(2, 4, 8), num_classes=5, image_size=32, window_size=4)
    state = {name: torch.full(value.shape, 0.01) for name, value in expected_state(config, ("norm", "head")).items()}
    write_pth(path, export(state, config, DIALECTS["microsoft"]), key="model")
    return sum(value.nbytes for value in state.values())


@pytest.mark.peers
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="resident memory of other processes is read from /proc")
def test_no_more_than_two_and_a_half_copies_are_held(tmp_path: Path) -> None:
    """One process converts a small network and then a large one; what it and its witness held for the small one is not the weights'."""
    write(tmp_path / "small.pth", SMALL)
    weights = write(tmp_path / "large.pth", LARGE)
    usual, peak = {False: 0, True: 0}, 0
    process = subprocess.Popen([sys.executable, "-c", CONVERTS], cwd=tmp_path, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        held = {pid: (runs(pid, WITNESS), resident(pid)) for pid in tree(process.pid)}
        if (tmp_path / "small").is_dir():
            peak = max(peak, sum(max(0, size - usual[witness]) for witness, size in held.values()))
        else:
            usual = {kind: max([usual[kind], *(size for witness, size in held.values() if witness == kind)]) for kind in usual}
        time.sleep(0.01)
    assert process.returncode == 0
    assert usual[True] > 0
    assert 0.8 < peak / weights <= MOST  # fewer than one copy would mean that nothing was measured
