"""The page holds what it should, asks nobody for anything, and no name in it acts."""

import base64
import dataclasses
import hashlib
import os
import re
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from markupsafe import escape

from swinkit.data.collection import shown
from swinkit.report.contents import RunFiles, _temperature, read_curves
from swinkit.report.matrix import NAMED
from swinkit.report.page import Example, Headline, ReportData, Rival, _breakable, render, write_report
from swinkit.report.thumbnails import thumbnail
from swinkit.tasks.metrics import class_scores, fit_temperature

from ..chromium import chromium
from .hostile import OWN, PAYLOADS, report

ELEMENTS = set(
    re.findall(
        r"\w+",
        "html head meta title link style body header main section footer nav a p h1 h2 h3 ul ol li div span b bdi small pre code dl dt dd "
        "table thead tbody tr th td figure figcaption img svg g path rect line circle polyline text wbr",
    )
)
ACTING = {"src", "href", "action", "formaction", "style", "srcdoc", "data", "xlink:href", "srcset", "poster", "ping"}


class Reader(HTMLParser):
    """Elements and attributes as a browser meets them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.met: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.met.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def faults(page: str) -> list[str]:
    """What in ``page`` could act or ask somebody."""
    found = []
    for name, attributes in Reader(page).met:
        if name not in ELEMENTS:
            found.append(f"element {name}")
        for key, value in attributes.items():
            harmless = (name, key) in {("a", "href"), ("img", "src"), ("link", "href")} and re.match(
                r"#|data:(image/|,)", value or ""
            )
            if key.startswith("on") or (key in ACTING and not harmless):
                found.append(f"{name} {key}={value}")
            if name == "meta" and key == "http-equiv" and value != "Content-Security-Policy":
                found.append(f"meta {value}")
    return found


@pytest.mark.parametrize("multi_label", [False, True])
def test_fault_38_no_name_acts_in_the_page(multi_label):
    page = render(report(multi_label))
    assert faults(page) == []
    text = "".join(Reader(page).text)
    assert "onerror" in text
    assert "{{ cycler" in text
    page.encode("utf-8")
    assert not set(page) & {"\u202e", "\x00", "\udcff"}
    assert OWN not in re.sub(r"<style>.*?</style>", "", page).replace("&#39;", "x")  # quotes never come out raw


@pytest.mark.parametrize("payload", PAYLOADS[:10])
def test_the_reader_sees_a_page_that_forgot_to_escape(payload):
    page = render(ReportData("title", "summary")).replace("summary", f"<p title=\"{payload}\" class='{payload}'>{payload}</p>")
    assert faults(page)


def test_policy_forbids_all_but_pictures_in_the_page_and_its_own_style():
    page = render(report())
    policy = next(tag["content"] for name, tag in Reader(page).met if name == "meta" and tag.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "url(" not in style
    assert "@import" not in style


def dump(page, tmp_path) -> str:
    """What Chromium makes of the file ``page`` after its scripts, if it has any, have run."""
    switches = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000",
                f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]  # fmt: skip
    command = [chromium(), *switches, page.as_uri()]
    return subprocess.run(command, capture_output=True, timeout=150, check=True).stdout.decode("utf-8")


@pytest.mark.xdist_group("chromium")
def test_fault_38_no_name_acts_in_a_real_browser(tmp_path):
    leaky = tmp_path / "leaky.html"
    leaky.write_text(f"<title>sound</title>{PAYLOADS[1]}", "utf-8")
    assert "<title>owned</title>" in dump(leaky, tmp_path)  # the harness sees an attack that works
    page = dump(write_report(tmp_path / "report.html", report()), tmp_path)
    assert "<title>owned</title>" not in page
    assert faults(page) == []


def test_a_temperature_at_the_end_of_the_search_is_said_to_be_there():
    assert _temperature(1.234) == "1.23"
    logits = np.random.default_rng(0).normal(size=(200, 4))
    assert _temperature(fit_temperature(logits, (logits.argmax(1) + 1) % 4)) == "20.00, the end of the search"


def test_intervals_are_explained_where_there_are_some():
    assert "intervals" not in render(ReportData("t", "s", headlines=[Headline("Mean error", "0.1")]))
    assert "Wilson" in render(ReportData("t", "s", headlines=[Headline("Top-1", "100 %", "92 – 100")]))


def test_an_empty_report_is_a_page_too():
    page = render(ReportData("nothing yet", "no picture was judged"))
    assert "nothing yet" in page
    assert page.count("<section") == 0


def test_sections_have_their_links_and_only_they():
    page = render(report())
    links = set(re.findall(r'<li><a href="#([a-z]+)"', page))
    assert links == set(re.findall(r'<section id="([a-z]+)"', page)) == {
        "results", "comparison", "confusion", "classes", "mistakes", "right", "calibration", "data", "facts", "reproduce",
    }  # fmt: skip


def test_every_picture_has_words_and_every_chart_a_name():
    for name, attributes in Reader(render(report())).met:
        if name == "img":
            assert attributes["alt"]
        if name == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_figures_and_rivals_are_shown_with_their_intervals():
    rivals = [Rival("fine-tuned", 0.941, 0.928, 0.954, ours=True), Rival("from nothing", 0.71)]
    data = ReportData("t", "s", headlines=[Headline("Top-1", "94.1 %", "92.8 – 95.4")], rivals=rivals)
    assert data.comparison_axis[0] < 0.71 < 0.954 < data.comparison_axis[1]
    text = "".join(Reader(render(data)).text)
    assert "94.1\u202f%" in text
    assert "92.8 – 95.4" in text


def test_classes_are_listed_weakest_first_and_unknown_ones_last():
    data = report()
    scores = dataclasses.replace(data.scores, f1=np.linspace(1, 0, len(data.classes)))
    scores.f1[-1] = np.nan
    rows = dataclasses.replace(data, scores=scores).class_rows
    assert [row["name"] for row in rows[:2]] == [data.classes[-2], data.classes[-3]]
    assert rows[-1]["name"] == data.classes[-1]


@pytest.mark.parametrize("count", [NAMED, NAMED + 1])
def test_classes_of_a_matrix_with_numbers_are_listed_with_them(count):
    classes, confusion = tuple(f"kind {index}" for index in range(count)), np.eye(count, dtype=np.int64)
    page = render(ReportData("t", "s", classes=classes, confusion=confusion, scores=class_scores(confusion)))
    listed = re.findall(r"kind (\d+)</bdi></th><td class=\"figure\">(\d+)</td><td class=\"figure\">1</td>", page)
    assert listed == ([(str(index), str(index)) for index in range(count)] if count > NAMED else [])
    assert ("numbered as in" in page) == (count > NAMED)


def test_names_from_right_to_left_stand_apart_from_figures_and_paths():
    example = Example(np.zeros((8, 8, 1), np.uint8), [("חתול", 0.1)], [("قطة", 0.9)], "חתול/12.png")
    page = render(ReportData("t", "s", classes=("חתול", "قطة"), mistakes=[example], confusion=np.array([[0, 1], [0, 1]])))
    assert "<b><bdi>قطة</bdi></b> 90" in page
    assert "<bdi>חתול</bdi>/<bdi>12.png</bdi>" in page
    assert "<b><bdi>חתול</bdi></b> taken for <b><bdi>قطة</bdi></b>" in page


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((28, 28, 1), "png"), ((64, 64, 3), "png"), ((500, 300, 3), "jpeg"), ((8, 8, 2), "png"), ((90, 9, 5), "jpeg")],
)
def test_thumbnails_of_any_shape(shape, kind):
    made = thumbnail(np.random.default_rng(0).random(shape, dtype=np.float32))
    assert made.uri.startswith(f"data:image/{kind};base64,")
    assert max(made.width, made.height) <= 168
    assert made.width / made.height == pytest.approx(shape[1] / shape[0], rel=0.05)
    assert made.tiny == (kind == "png")


@pytest.mark.parametrize(("keep", "kept"), [("last", 5), ("best", 4)])
def test_the_epoch_whose_weights_were_kept_is_marked(keep, kept, tmp_path):
    """Of equally good ones that of the least loss."""
    (tmp_path / "config.yaml").write_text(f"keep: {keep}\n")
    rows = [(1, 0.9, 0.5), (2, 0.5, 1.0), (3, 0.4, 1.0), (4, 0.3, 1.0), (5, 0.35, 1.0)]
    lines = "".join(f"{epoch},{epoch},{loss},{top1}\n" for epoch, loss, top1 in rows)
    (tmp_path / "metrics.csv").write_text(f"step,epoch,val_loss,val_top1\n{lines}")
    marked = {curve.name: curve.kept for curve in RunFiles(tmp_path).curves()}
    assert marked == {"Loss": None, "Top-1 accuracy": kept}


def test_curves_come_from_the_csv_without_what_is_no_number(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,epoch,learning_rate,train_loss,val_loss,val_top1\n10,1,0.1,2.0,,0.5\n20,2,0.05,nan,1.5,0.6\n")
    loss, top1, rate = read_curves(file)
    assert loss.lines == {"training": [(1, 2.0)], "validation": [(2, 1.5)]}
    assert (top1.name, top1.best) == ("Top-1 accuracy", "max")
    assert rate.lines["rate"] == [(1, 0.1), (2, 0.05)]
    assert read_curves(tmp_path / "absent.csv") == []


def test_the_page_of_ten_classes_is_small_and_written_whole(tmp_path):
    path = write_report(tmp_path / "report.html", report())
    assert path.stat().st_size < 1_000_000
    assert path.read_text("utf-8").rstrip().endswith("</html>")
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_long_name_breaks_behind_an_underscore_and_stays_inert() -> None:
    assert str(_breakable("swin_nano <b>_\u202e")) == f"swin_<wbr>nano &lt;b&gt;_<wbr>{escape(shown(chr(0x202E)))}"


@pytest.mark.parametrize("content", [b"a: [1", b"only words", b"\xff\xfe", b"[1, 2]"])
def test_files_of_a_run_that_were_changed_into_something_else_say_nothing(tmp_path, content):
    for name in ("config.yaml", "data.json", "env.json"):
        (tmp_path / name).write_bytes(content)
    files = RunFiles(tmp_path)
    assert (files.remarks(), files.facts(), files.commands(), files.origin()) == ([], {}, [], {})
