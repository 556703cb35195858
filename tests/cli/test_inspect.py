"""What ``swinkit inspect`` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swinkit.cli.main import run
from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.weights.formats import DIALECTS
from swinkit.weights.streams import write_pth
from swinkit.weights.translation import export

CONFIG = SwinConfig.model_validate(
    {"embed_dim": 8, "depths": (1, 2), "num_heads": (1, 2), "num_classes": 3, "image_size": 32, "window_size": 4, "ape": True}
)


@pytest.mark.parametrize(("strays", "more"), [(2, []), (12, ["  and 4 more"])])
def test_reasons_stand_below_each_other_as_far_as_one_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], strays: int, more: list[str]
) -> None:
    state = export(SwinClassifier(CONFIG).state_dict(), CONFIG, DIALECTS["microsoft"])
    write_pth(tmp_path / "it.pth", state | {f"stray{number}\x1b[2J": torch.ones(1) for number in range(strays)})
    run(["inspect", str(tmp_path / "it.pth")])
    printed = capsys.readouterr().out
    told = printed[printed.index("problem  ") :].splitlines()
    assert told[0].endswith(f"{strays} reasons:")
    assert [line[20:] for line in told[1:]] == [
        *(f"  not expected: stray{number}\\x1b[2J (1,)" for number in range(min(strays, 8))),
        *more,
        "Mend: delete these names from the file, if what the network computes does not depend on them, or take the backbone alone, "
        "which swinkit convert --backbone does",
    ]
