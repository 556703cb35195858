"""What ``explain --reconstruct`` writes: a page, the sheet of pictures, and the errors as JSON."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from ...data.decode import decode
from ...data.rgb import png_bytes
from ...devices import find_device
from ...explain.reconstruction import load_painter, reconstructions
from ...report.page import Headline, ReportData, Sheet, write_report
from ...tasks.pretraining import sheet
from ...train.place import first_free
from ...weights.atomic import write_atomically, write_json

LEAD = (
    "From left to right: the picture as the network is given it, what it saw of it, what it painted, and the error, brighter where it is larger. "
    "Each row hides other parts. Visible parts stand as they were."
)


def write(model: str, picture: Path, out: Path | None, seed: int, device: str) -> tuple[Path, dict[str, Any]]:
    """reconstruction.html, reconstruction.png and reconstruction.json in ``out`` or a new folder; returns it and what the last holds."""
    painter = load_painter(model)
    painter.network.to(find_device(device))
    rows = reconstructions(painter, decode(picture, painter.preprocessing.channels), seed, source=picture.name)
    drawn, masking = sheet(rows), painter.network.masking
    errors = [row.loss for row in rows]
    found: dict[str, Any] = {
        "picture": str(picture), "model": model, "seed": seed, "masking": masking.model_dump(), "errors": errors,
        "files": ["reconstruction.png"],
    }  # fmt: skip
    folder = out or first_free(Path("runs"), "explain")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "reconstruction.png", png_bytes(drawn))
    # counted, since whole cells are more than the share that was asked for
    hidden = sum(float(row.hidden.mean()) for row in rows) / len(rows)
    words = ["swinkit", "explain", model, str(picture), "--reconstruct", *(["--seed", str(seed)] if seed else [])]
    page = ReportData(
        title=f"{picture.name}, painted from what is left of it",
        summary=f"{Path(model).name} saw the picture with {hidden:.0%} of it hidden, in cells of {masking.cell} pixels, and painted "
        "them.",
        headlines=[Headline("Mean error", f"{sum(errors) / len(errors):.3f}", note="of hidden pixels, black is 0 and white 1")],
        sheet=Sheet(LEAD, drawn),
        commands=[shlex.join(words)],
    )
    write_report(folder / "reconstruction.html", page)
    write_json(folder / "reconstruction.json", found)
    return folder, found
