"""The page as text: both languages whole, every chapter there, and nothing said that the values do not bear out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swinkit.errors import UsageError
from swinkit.explain.tour.pages import Numbers, render, texts

ASKED = [
    "start", "vit", "whole", "partition", "embedding", "merging", "norm", "wmsa", "shift", "bias", "attention", "mlp", "block", "variants",
    "v2norm", "v2cosine", "v2log", "v2transfer", "simmim", "against", "use", "performance", "optimise", "myths",
]  # fmt: skip


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


def test_russian_texts_need_no_form_of_a_word_for_each_number() -> None:
    """ "4 чисел", "32 каналов" are wrong; what counts stands in front: "чисел: 4". A patch of ViT is always 768 numbers."""
    counted = re.compile(r"\}\}\s+(?:чисел|каналов|весов|строк|окон|изображений сразу)\b")
    spoken = [text.replace('f.vit["values"] }}', "") for text in leaves(texts("ru"))]
    assert [text for text in spoken if counted.search(text)] == []


def test_one_timed_run_is_told_as_one(facts: dict[str, Any]) -> None:
    ways = [{**way, "time": {"median": 1.0, "low": 1.0, "high": 1.0, "runs": 1}} for way in facts["speed"]["ways"]]
    page = words(render({**facts, "speed": {**facts["speed"], "ways": ways}}, "en"))
    assert "the next one does; the median" in page


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


def words(page: str) -> str:
    return re.sub(r"\s+", " ", page)


@pytest.mark.parametrize(("language", "said"), [("en", "knows no classes"), ("ru", "не знает классов")])
def test_a_model_without_classes_is_not_said_to_answer(facts: dict[str, Any], language: str, said: str) -> None:
    page = words(render({**facts, "classes": [], "foreign": None}, language))
    assert said in page
    assert "answers with one of them" not in page
    assert "называет один из них" not in page
    assert 'Predictor("runs/photos")' in page  # the example names a model that can be asked


def test_a_model_of_several_labels_is_not_said_to_choose_one(facts: dict[str, Any]) -> None:
    assert "judges each of them by itself" in words(render({**facts, "multi_label": True}, "en"))


@pytest.mark.parametrize(("padded", "said"), [(1.5, "50 % more time than"), (0.8, "20 % less time than")])
def test_the_slower_way_of_shifting_is_told_as_it_was_measured(facts: dict[str, Any], padded: float, said: str) -> None:
    ways = {
        name: {**facts["shift_ways"][name], "time": {"median": at, "low": at, "high": at}}
        for name, at in (("cyclic", 1.0), ("padded", padded))
    }
    assert said in words(render({**facts, "shift_ways": {**facts["shift_ways"], **ways}}, "en"))


def test_every_chapter_is_there_and_the_page_is_small(pages: dict[str, Path]) -> None:
    for page in pages.values():
        text = page.read_text("utf-8")
        assert re.findall(r'<section id="(\w+)"', text) == ASKED
        assert page.stat().st_size < 5_000_000
        assert not re.search(r'(?:src|href)="(?!data:|#)', text)
        assert "{{" not in text
        assert "undefined" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)


def test_the_ways_to_run_it_are_measured_and_their_errors_told(facts: dict[str, Any], pages: dict[str, Path]) -> None:
    rows = {row["name"]: row for row in facts["speed"]["ways"]}
    assert {"plain", "folded", "native"} <= set(rows)
    for language, page in pages.items():
        table = re.search(r'<table class="ways-table">.*?</table>', page.read_text("utf-8"), re.S)
        assert table
        assert table[0].count("<tr>") == 1 + len(rows)
        assert Numbers(language).small(rows["native"]["difference"]) in table[0]
        assert f"{Numbers(language).decimal(rows['native']['gain'], 2)}×" in table[0]
