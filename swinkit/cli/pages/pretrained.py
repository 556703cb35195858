"""The report of a pre-training: loss, what the network paints, what its features are worth, and the verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...data.collection import counted
from ...report.contents import TRAINED, CurveRow, RunFiles, headed
from ...report.page import Headline, Remark, ReportData, Rival, Sheet, write_report
from ...report.svg import percent
from ...timing import duration
from ...train.settings import PretrainSettings
from ...train.unlabelled import SHEET
from ...train.verdict import Verdict, confound, read_verdict
from ...validation import validated
from ...weights import PAYOFF, REPORT

PAYOFF_CURVES = (
    CurveRow("Features on labelled pictures", "neighbours", "knn", share=True),
    CurveRow("Features on labelled pictures", "linear", "linear", share=True, best="max"),
)
LEAD = (
    "Pictures that were not learned from: as they are, as the network saw them, as it painted them, and the error, brighter where "
    "it is larger. Visible parts stand as they were."
)


def report(run: Path) -> Path:
    """Write report.html of the pre-training in ``run`` from what lies in its folder."""
    files, verdict = RunFiles(run), read_verdict(run)
    curves, payoff = files.curves(), files.curves(PAYOFF, PAYOFF_CURVES)
    loss = [curve for curve in curves if curve.name == "Loss"]
    picture = run / SHEET
    data = ReportData(
        title=f"{run.resolve().name}: learned without labels",
        summary=str(verdict) if verdict else unjudged(files.config),
        headlines=[*verdict_headlines(verdict), *last_values([*loss, *payoff])],
        rivals=rivals(verdict) if verdict else (),
        curves=[*curves, *payoff],
        sheet=Sheet(LEAD, np.asarray(Image.open(picture).convert("RGB"))) if picture.is_file() else None,
        remarks=headed({TRAINED: files.remarks(), "The verdict": doubts(files.config, verdict)}),
        facts=files.facts(),
        commands=[
            *files.commands(),
            shlex.join(["swinkit", "train", str(files.config.get("probe") or "DATA"), "--init", str(run)]),
        ],
        origin=files.origin(),
    )
    return write_report(run / REPORT, data)


def doubts(config: Mapping[str, Any], verdict: Verdict | None) -> list[Remark]:
    """What the verdict on a run with the settings ``config`` leaves open."""
    found = (confound(validated(PretrainSettings, config)), *verdict.doubts) if verdict else ()
    return [Remark("note", doubt) for doubt in found if doubt]


def unjudged(config: Mapping[str, Any]) -> str:
    """Why a run with the settings ``config`` has no verdict."""
    if not config.get("probe"):
        return "No verdict: it needs a labelled set, --probe DATA."
    return "No verdict yet." if config.get("verdict", True) else "No verdict: --no-verdict left it out."


def verdict_headlines(verdict: Verdict | None) -> list[Headline]:
    if verdict is None:
        return []
    gain = verdict.gain
    interval = (
        f"{gain.low * 100:+.1f} – {gain.high * 100:+.1f} (95 % interval)"
        if gain.low is not None and gain.high is not None
        else ""
    )
    better = "the better training" if len(verdict.ways) > 2 else "as many epochs"
    note = f"top-1 with {verdict.labels:,} labels {verdict.after}, against {better} from nothing"
    return [
        Headline("Was it worth it?", verdict.word, note=note),
        Headline("Gain in points", f"{gain.value * 100:+.1f}", interval),
    ]


def last_values(curves: list) -> list[Headline]:
    """The last point of each line that an evaluation drew."""
    names = {"validation": "Validation loss", "linear": "Linear probe", "neighbours": "Nearest neighbours"}
    shown = []
    for curve in curves:
        for line, points in curve.lines.items():
            if line in names:
                value = points[-1][1]
                shown.append(Headline(names[line], percent(value) if curve.share else f"{value:.4f}"))
    return shown


def rivals(verdict: Verdict) -> list[Rival]:
    return [
        Rival(
            f"{way.name} {verdict.after}" if way is verdict.ways[0] else way.name,
            way.top1.value,
            way.top1.low,
            way.top1.high,
            f"{counted(way.epochs, 'epoch')}, {duration(60 * way.minutes)}",
            way is verdict.ways[0],
        )
        for way in verdict.ways
    ]
