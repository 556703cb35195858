"""A report in which everything that data can name is an attack, and what would tell that one worked."""

from pathlib import Path

import numpy as np

from swinkit.data.collection import Collection, Sample
from swinkit.report.contents import About, contents
from swinkit.report.page import Remark, ReportData
from swinkit.tasks.evaluation import MultiLabel, SingleLabel
from swinkit.tasks.metrics import ENOUGH_PICTURES

OWN = "document.title='owned'"
PAYLOADS = (
    f'<img src=x onerror="{OWN}">',
    f"</script><script>{OWN}</script>",
    f"</style></title></textarea><script>{OWN}</script>",
    f'"><svg onload={OWN}>',
    f"' onmouseover={OWN} autofocus onfocus={OWN} x='",
    f"--><script>{OWN}</script><!--",
    f"]]><script>{OWN}</script>",
    f'<iframe srcdoc="<script>parent.{OWN}</script>">',
    '<meta http-equiv="refresh" content="0;url=http://192.0.2.1/">',
    "<style>@import 'http://192.0.2.1/';</style>",
    f"javascript:{OWN}",
    "=cmd|' /C calc'!A0",
    "{{ cycler.__init__.__globals__ }}",
    "line\nbreak\u202ereversed\u0000nul\udcff",
)


def report(multi_label: bool = False) -> ReportData:
    """A page with every payload as class, file, finding, fact, command, title and summary."""
    count = len(PAYLOADS)
    pictures = count * -(-ENOUGH_PICTURES // count)
    generator = np.random.default_rng(0)
    truth = np.arange(pictures) % count
    logits = (generator.normal(size=(pictures, count)) + np.eye(count)[truth]).astype(np.float32)
    sources = [f"{PAYLOADS[label]}/{PAYLOADS[(label + 1) % count]}.jpg" for label in truth]
    samples = tuple(Sample(source, (int(label),)) for source, label in zip(sources, truth, strict=True))
    pixels = generator.integers(0, 256, (pictures, 8, 8, 1), dtype=np.uint8)
    collection = Collection(Path("/data"), "folders", PAYLOADS[0], PAYLOADS, samples, pixels=pixels)
    if multi_label:
        evaluation = MultiLabel(PAYLOADS, logits, np.eye(count, dtype=bool)[truth], np.arange(pictures), sources)
    else:
        evaluation = SingleLabel(PAYLOADS, logits, truth, np.arange(pictures), sources)
    named = {payload: payload for payload in PAYLOADS}
    about = About(
        PAYLOADS[2], " ".join(PAYLOADS), facts={PAYLOADS[0]: named}, remarks=[Remark("warning", text) for text in PAYLOADS],
        commands=PAYLOADS, origin=named,
    )  # fmt: skip
    return contents(evaluation, collection, about)
