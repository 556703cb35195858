"""The READMEs' tables of measurements are what benchmarks/results says, in the language of each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.common.render import DOCUMENTS, MARKED, READMES, RUSSIAN, render, table
from benchmarks.common.russian import russian

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in READMES}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_results_say(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert render(text, RESULTS, DOCUMENTS[name]) == text, "To render it anew: python -m benchmarks.common.render"


def test_results_of_another_processor_are_rendered_from_a_folder_of_their_own(tmp_path):
    text = "<!-- results: chip/floor -->\n<!-- end of results -->\n"
    assert "Not measured yet: `python benchmarks/floor.py --out benchmarks/results/chip/floor.json`" in render(text, tmp_path)


def test_every_table_has_its_benchmark_and_stands_in_every_language():
    for text in TEXTS.values():
        named = [match[2] for match in MARKED.finditer(text)]
        assert len(named) == text.count("<!-- results:") == text.count("<!-- end of results -->") > 0
        assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in named)
    assert len({tuple(match[2] for match in MARKED.finditer(text)) for text in TEXTS.values()}) == 1


def test_a_table_is_rendered_from_its_result(tmp_path):
    result = {
        "benchmark": "latency", "command": "python benchmarks/latency.py",
        "environment": {"torch": "9.9", "processor": {"name": "Chip", "usable_cores": 2, "flags": ["AVX2"]}},
        "table": {"columns": ["network", "ms"], "rows": [["a|b", "1.5"]], "notes": ["said once"]},
    }  # fmt: skip
    (tmp_path / "latency.json").write_text(json.dumps(result), encoding="utf-8")
    text = "before\n<!-- results: latency -->\nstale\n<!-- end of results -->\n<!-- results: floor -->\n<!-- end of results -->\nafter\n"
    rendered = render(text, tmp_path)
    assert "| a\\|b | 1.5 |" in rendered
    assert "stale" not in rendered
    assert "Not measured yet: `python benchmarks/floor.py`" in rendered
    assert render(rendered, tmp_path) == rendered
    translated = render(text, tmp_path, RUSSIAN)
    assert "| сеть | мс |" in translated
    assert "Ещё не измерено: `python benchmarks/floor.py`" in translated
    assert re.search(r"`python benchmarks/latency.py` on Chip, 2 cores \(AVX2\); torch 9.9; \[raw samples\]", rendered)


def test_what_was_not_recorded_is_said_so():
    result = {
        "command": "python benchmarks/floor.py", "table": {"columns": ["s"], "rows": [["1"]], "notes": []},
        "environment": {"processor": {"name": None, "usable_cores": None, "flags": None}},
    }  # fmt: skip
    assert "on an unknown processor, an unknown number of cores (flags unknown); versions unknown;" in table("floor", result)
    assert "процессор неизвестен, ядер: неизвестно" in table("floor", result, RUSSIAN)


@pytest.mark.parametrize(
    ("english", "ours"),
    [
        ("times as fast", "во сколько раз быстрее"),
        ("pictures/s, bfloat16", "изображений/с, bfloat16"),
        ("SwinV2-T 256, window 8, batch 1", "SwinV2-T 256, окно 8, батч 1"),
        ("timm, OpenVINO, the best peer: 29.5", "timm, OpenVINO, лучший соперник: 29,5"),
        ("768 x 768: s a step", "768 x 768: с на шаг"),
        (
            "gradient_checkpointing and attention_chunk=16, without kernels",
            "gradient_checkpointing и attention_chunk=16, без ядер",
        ),
        ("37 s", "37 с"),
        ("s", "с"),
        ("96.3 to 97.7%", "96,3–97,7%"),
        ("0.15 to 0.25 megapixels", "от 0,15 до 0,25 мегапикселей"),
        ("10,000", "10\u202f000"),
        ("1,234,567.5 (1,000.5–2.0), 3", "1\u202f234\u202f567,5 (1\u202f000,5–2,0), 3"),
        ("6.9e-03 (≤ 1e-4 ✓)", "6,9e-03 (≤ 1e-4 ✓)"),
        ("timm 1.0.31, v2.5, 2.50GHz, file-1.5, a1.5.pt", "timm 1.0.31, v2.5, 2.50GHz, file-1.5, a1.5.pt"),
        ("`python a.py --x 0.5` in 1.5.", "`python a.py --x 0.5` in 1,5."),
        ("digits, 20 per class, from the bundled weights", "цифры, 20 на класс, от весов из пакета"),
        ("ValueError: nothing to add to torch's", "ValueError: nothing to add to torch's"),
        (
            "Bar: a step at 1536 x 1536 under 16 GB. Peak memory is of the whole process.",
            "Планка: шаг при 1536 x 1536 менее чем в 16 ГБ. Пик памяти – всего процесса.",
        ),
        ("MemoryError: swin_bar", "MemoryError: swin_bar"),
    ],
)
def test_what_tables_say_is_translated(english, ours):
    assert russian(english) == ours


@pytest.mark.parametrize("name", [match[2] for match in MARKED.finditer(TEXTS["README.md"])])
def test_headers_and_notes_are_all_translated(name):
    """What is left in Latin letters is a name."""
    path = RESULTS / f"{name}.json"
    shown = json.loads(path.read_text(encoding="utf-8"))["table"] if path.exists() else {"columns": [], "notes": []}
    names = r"swinkit|swin_t|\w+\d+\w*|top-1|OpenVINO|ONNX|Runtime|float|Swin-T|DeiT-S|torch|eager|compiled|compile|PyTorch|MAC|GMAC|x"
    for text in [*shown["columns"], *shown["notes"]]:
        rest = re.sub(rf"(?<![\w-])({names})(?![\w-])", "", russian(text))
        assert not re.findall(r"[A-Za-z]{2,}", rest), russian(text)
