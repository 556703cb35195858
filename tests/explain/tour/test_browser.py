"""The page in a real browser: nothing asked of the network, everything steps by mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swinkit.explain.attention import attention_of
from swinkit.explain.tour.pages import LANGUAGES
from swinkit.explain.tour.subject import open_subject


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


@pytest.mark.xdist_group("chromium")
@pytest.mark.parametrize(("language", "words"), [("en", "Scripts are switched off"), ("ru", "Скрипты")])
def test_without_scripts_it_says_what_is_missing_and_shows_nothing_dead(
    browser: Any, pages: dict[str, Path], language: str, words: str
) -> None:
    tab = browser.new_page(java_script_enabled=False)
    tab.goto(pages[language].as_uri())
    assert tab.locator("noscript").inner_text().startswith(words)
    for dead in ("canvas", "button", "select", "input"):
        assert tab.locator(f"{dead}:visible").count() == 0
    assert tab.locator("img:visible").count() > 4
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
@pytest.mark.parametrize(("layer", "key", "place"), [(1, "Home", (0, 0)), (1, "End", (13, 13)), (5, "Home", (0, 0))])
def test_in_sight_is_whoever_the_mask_lets_a_patch_attend_to(tab: Any, layer: int, key: str, place: tuple[int, int]) -> None:
    subject = open_subject()
    partners = int(attention_of(subject.model, subject.image, *divmod(layer, 2)).partners(*place).sum())
    tab.locator("[data-widget=attention] select").select_option(str(layer))
    tab.locator("[data-widget=attention] .board").focus()
    tab.keyboard.press(key)
    assert int(re.findall(r"\d+", said(tab, "attention"))[2]) == partners


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
