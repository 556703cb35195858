"""The page in a real browser: nothing asked of the network, everything steps by mouse and keyboard, both languages whole."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swinkit.errors import UsageError
from swinkit.explain.tour.facts import gather
from swinkit.explain.tour.measured import Effort
from swinkit.explain.tour.pages import LANGUAGES, Numbers, render, texts
from swinkit.explain.tour.subject import open_subject

ASKED = [
    "start",
    "vit",
    "whole",
    "partition",
    "embedding",
    "merging",
    "norm",
    "wmsa",
    "shift",
    "bias",
    "attention",
    "mlp",
    "block",
    "variants",
    "v2norm",
    "v2cosine",
    "v2log",
    "v2transfer",
    "simmim",
    "against",
    "use",
    "performance",
    "optimise",
    "myths",
]


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int, str]]:
    """What gathering the facts said on its way."""
    return []


@pytest.fixture(scope="module")
def facts(told: list[tuple[int, int, str]]) -> dict[str, Any]:
    return gather(open_subject(), Effort(1, (32,)), progress=lambda *step: told.append(step))


@pytest.fixture(scope="module")
def pages(facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tour")
    for language in LANGUAGES:
        (folder / f"{language}.html").write_text(render(facts, language), "utf-8")
    return {language: folder / f"{language}.html" for language in LANGUAGES}


def test_whoever_waits_is_told_of_every_chapter(facts: dict[str, Any], told: list[tuple[int, int, str]]) -> None:
    assert [(done, total) for done, total, _ in told] == [(number, len(told)) for number in range(len(told))]
    assert len({about for *_, about in told}) == len(told) == 19


def shape(value: Any) -> Any:
    """Keys, and lengths of lists, without the texts."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return len(value) if isinstance(value, list) else type(value).__name__


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield str(value)


def test_both_languages_have_the_same_keys_and_no_empty_text() -> None:
    english, russian = texts("en"), texts("ru")
    assert shape(english) == shape(russian)
    assert all(text.strip() for one in (english, russian) for text in leaves(one))
    assert set(english) == {"page", "js", *ASKED}


def test_both_languages_speak_of_the_same_values() -> None:
    for one, other in zip(leaves(texts("en")), leaves(texts("ru")), strict=True):
        named = [set(re.findall(r"\bf\.[\w.\"\[\]]+|\{\w+\}", text)) for text in (one, other)]
        assert named[0] == named[1], one


def test_the_russian_page_is_in_russian() -> None:
    spoken = [re.sub(r"<code>.*?</code>|\{.*?\}+|<.*?>", "", text) for text in leaves(texts("ru"))]
    assert [text for text in spoken if re.search(r"\b[a-z]{3,} [a-z]{3,}", text) and text != "swinkit tour"] == []


def test_a_language_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="Known: en, ru"):
        texts("de")


def test_numbers_are_written_as_the_language_writes_them() -> None:
    assert Numbers("en").whole(1234567) == "1,234,567"
    assert Numbers("ru").decimal(1234.5) == "1\u202f234,5"
    assert Numbers("en").decimal(-0.00001, 4) == "0.0000"
    assert (Numbers("en").difference(0.0), Numbers("ru").difference(0.25)) == ("0 (bit for bit)", "0,250")
    assert Numbers("en").small(1.25e-7) == "1.3·10⁻⁷" or Numbers("en").small(1.25e-7) == "1.2·10⁻⁷"
    assert Numbers("en").macs(4.5e9) == "4.50 GMAC"


def test_names_are_inert(facts: dict[str, Any]) -> None:
    evil = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    page = render({**facts, "picture": evil, "model": evil}, "en", evil)
    assert "<script>document.title" not in page
    assert "<img src=x" not in page
    assert page.count("<script") == 2


def test_what_the_model_knows_is_told_beside_its_answer(pages: dict[str, Path]) -> None:
    for language, words in (("en", "knows 10 classes"), ("ru", "знает только эти классы (10)")):
        page = pages[language].read_text("utf-8")
        assert words in page
        assert "T-shirt/top, Trouser, Pullover" in page


def test_every_chapter_is_there_and_the_page_is_small(pages: dict[str, Path]) -> None:
    for page in pages.values():
        text = page.read_text("utf-8")
        assert re.findall(r'<section id="(\w+)"', text) == ASKED
        assert page.stat().st_size < 5_000_000
        assert not re.search(r'(?:src|href)="(?!data:|#)', text)
        assert "{{" not in text
        assert "undefined" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if path is None:
        warnings.warn("NOT TESTED in a browser: no Chromium is installed", stacklevel=1)
        pytest.skip("no Chromium is installed, so no browser has opened the tour")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(params=LANGUAGES)
def tab(request: pytest.FixtureRequest, browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """The page at phone width; at its end it must have asked nobody and complained of nothing."""
    tab = browser.new_page(viewport={"width": 375, "height": 800})
    asked: list[str] = []
    complaints: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(pages[request.param].as_uri())
    tab.wait_for_selector("body[data-ready]")
    yield tab
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
    tab.close()


def said(tab: Any, name: str) -> str:
    return tab.locator(f"[data-widget={name}] .said").inner_text()


BROWSER = pytest.mark.xdist_group("chromium")


@BROWSER
@pytest.mark.parametrize("name", ["vit", "partition", "merging", "bias", "attention"])
def test_a_drawing_is_walked_by_keyboard_and_mouse(tab: Any, name: str) -> None:
    board = tab.locator(f"[data-widget={name}] .board")
    board.focus()
    heard = [said(tab, name)]
    for key in ("ArrowRight", "ArrowDown", "Home", "End"):
        tab.keyboard.press(key)
        heard.append(said(tab, name))
    assert len(set(heard)) >= 4
    assert "undefined" not in " ".join(heard)
    assert "NaN" not in " ".join(heard)
    board.click(position={"x": 5, "y": 5})
    assert said(tab, name) == heard[3]  # the first cell, as Home


@BROWSER
def test_windows_step_through_in_every_way_of_shifting(tab: Any) -> None:
    figure = tab.locator("[data-widget=shift]")
    counts = {"regular": 4, "padded": 9, "cyclic": 4}
    for way, count in counts.items():
        figure.locator(f"input[value={way}]").check()
        heard = set()
        for _ in range(count):
            figure.locator("button.on").click()
            heard.add(said(tab, "shift"))
        assert len(heard) == count
        assert figure.locator("output").inner_text().endswith(f"/ {count}")
    figure.locator(".board").focus()
    before = said(tab, "shift")
    for key in ["Home"] + 6 * ["ArrowDown"] + 6 * ["ArrowRight"]:
        tab.keyboard.press(key)
    assert said(tab, "shift") != before


@BROWSER
def test_the_slider_moves_figures_and_chart(tab: Any) -> None:
    figure = tab.locator("[data-widget=wmsa]")
    shown = figure.locator("dl:not([hidden])")
    assert shown.count() == 1
    before, cursor = shown.inner_text(), figure.locator(".cursor").get_attribute("x1")
    figure.locator("input").focus()
    tab.keyboard.press("ArrowRight")
    assert shown.inner_text() != before
    assert figure.locator(".cursor").get_attribute("x1") != cursor


@BROWSER
def test_layers_heads_channels_and_blocks_step(tab: Any) -> None:
    for name in ("attention", "bias"):
        select = tab.locator(f"[data-widget={name}] select")
        select.select_option("2")  # a stage of two heads
        heard = said(tab, name)
        tab.locator(f"[data-widget={name}] [data-stepper=head] .on").click()
        assert said(tab, name) != heard
    heard = said(tab, "embedding")
    tab.locator("[data-widget=embedding] .on").click()
    assert said(tab, "embedding") != heard
    tab.locator(".route").focus()
    heard = {said(tab, "block")}
    for _ in range(13):
        tab.keyboard.press("ArrowRight")
        heard.add(said(tab, "block"))
    assert len(heard) == 14


def test_the_ways_to_run_it_are_measured_and_their_errors_told(facts: dict[str, Any], pages: dict[str, Path]) -> None:
    rows = {row["name"]: row for row in facts["speed"]["ways"]}
    assert {"plain", "folded", "native"} <= set(rows)
    for language, page in pages.items():
        table = re.search(r'<table class="ways-table">.*?</table>', page.read_text("utf-8"), re.S)
        assert table
        assert table[0].count("<tr>") == 1 + len(rows)
        assert Numbers(language).small(rows["native"]["difference"]) in table[0]
        assert f"{Numbers(language).decimal(rows['native']['gain'], 2)}×" in table[0]


@BROWSER
def test_masks_step_and_change_every_drawing(tab: Any) -> None:
    figure = tab.locator("[data-widget=simmim]")
    seen = {name: set() for name in ("original", "masked", "painted", "error", "said")}
    for _ in range(4):
        figure.locator("button.on").click()
        for name in ("original", "masked", "painted", "error"):
            seen[name].add(figure.locator(f"[data-part={name}]").first.get_attribute("src"))
        seen["said"].add(said(tab, "simmim"))
    assert {name: len(values) for name, values in seen.items()} == {
        "original": 1, "masked": 4, "painted": 4, "error": 4, "said": 4,
    }  # fmt: skip
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)")


@BROWSER
def test_everything_that_acts_is_reached_by_tab_and_has_a_name(tab: Any) -> None:
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll('button,input,select,[tabindex="0"],img,svg,canvas')]
        .filter(e => !e.closest('[aria-hidden=true]') && !(e.getAttribute('aria-label') || e.getAttribute('alt') || e.labels?.length
          || e.innerText?.trim() || e.querySelector('title'))).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    wanted = tab.locator(".board, .route, .stepper button, select, input[type=range], input[type=radio]:checked").count()
    reached = set()
    tab.locator(".skip").focus()
    for _ in range(200):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate(
                """() => { const e = document.activeElement;
                return e.matches('.board, .route, .stepper button, select, input') ?
                  [...document.querySelectorAll('*')].indexOf(e) : -1 }"""
            )
        )
    assert len(reached - {-1}) == wanted


@BROWSER
def test_it_fits_a_phone(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375


CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 })
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3]) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('p,li,h1,h2,h3,th,td,dt,dd,button,label,small,figcaption,a,output,svg text')]
    .filter(e => e.textContent.trim() && e.getClientRects().length)
    .map(e => { const s = getComputedStyle(e), a = light(rgb(e.matches('text') ? s.fill : s.color)), b = light(ground(e));
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName + '.' + (e.getAttribute('class') || ''), e.textContent.slice(0, 40)] })
    .filter(([ratio]) => ratio < 4.5) }"""


@BROWSER
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(tab: Any, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    assert tab.evaluate(CONTRAST) == []
