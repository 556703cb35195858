"""A benchmark that is stopped keeps its samples and the table of them, and tables are what the samples say."""

from __future__ import annotations

import importlib.util
import json
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

import swinkit
from benchmarks.common.bars import at_least, at_most
from benchmarks.common.measuring import NO_BFLOAT16, Results, Table, listed, medians, options, timed
from benchmarks.common.render import table as rendered
from swinkit.data.decode import decode

ROOT = Path(__file__).parents[2] / "benchmarks"
TABLED = sorted(path.stem for path in ROOT.glob("*.py"))
MEASURED = [name for name in TABLED if (ROOT / "results" / f"{name}.json").exists()]


def speeds(cases: list[dict[str, float]]) -> Table:
    return Table(
        ("case", "per second"), [[str(number), f"{1 / case['seconds']:.1f}"] for number, case in enumerate(cases)], ["a note"]
    )


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A benchmark as a module; as a script it has its own folder on the path."""
    monkeypatch.syspath_prepend(str(ROOT))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_grows_with_each_case_and_says_that_it_is_unfinished(tmp_path, capsys):
    out = tmp_path / "new" / "latency.json"
    results = Results("latency.py", out, speeds)
    results.add({"seconds": 0.5})
    stopped = read(out)
    assert stopped["cases"] == [{"seconds": 0.5}]
    assert stopped["table"] == {"columns": ["case", "per second"], "rows": [["0", "2.0"]], "notes": ["a note"]}
    assert stopped["unfinished"] is True
    assert "Stopped before its end" in rendered("latency", stopped)
    results.add({"seconds": 0.25})
    results.finish()
    assert "1     4.0\na note\n" in capsys.readouterr().out
    whole = read(out)
    assert "unfinished" not in whole
    assert len(whole["table"]["rows"]) == 2
    assert "Stopped before its end" not in rendered("latency", whole)


def test_the_command_names_the_options_that_were_given(tmp_path, monkeypatch):
    out = tmp_path / "latency.json"
    monkeypatch.setattr("sys.argv", ["latency.py", "--out", str(out), "--rounds", "3", "--models", "swin_t, swinv2_t"])
    chosen = options("latency.py", None, rounds=3, seconds=0.4, models="")
    results = Results("latency.py", chosen.out, speeds, chosen.said)
    assert results.content["command"] == "python benchmarks/latency.py --models 'swin_t, swinv2_t'"


def test_a_table_that_fails_stops_nothing_before_the_end(tmp_path, capsys):
    out = tmp_path / "latency.json"
    results = Results("latency.py", out, speeds)
    results.add({"seconds": 0.0})
    results.add({"seconds": 0.5})
    assert "no table yet: ZeroDivisionError" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError):
        results.finish()
    assert read(out)["cases"] == [{"seconds": 0.0}, {"seconds": 0.5}]
    assert read(out)["unfinished"]


def test_cases_that_the_processor_cannot_compute_are_said_so(tmp_path, monkeypatch):
    case = namedtuple("Case", ("name", "precision"))
    cases = [case("one", "float32"), case("two", "bfloat16")]
    results = Results(
        "latency.py", tmp_path / "latency.json", lambda cases: Table(("name",), [[case["name"]] for case in cases])
    )
    monkeypatch.setattr("benchmarks.common.measuring.bfloat16", lambda: False)
    results.measure(cases, lambda case: {**case._asdict(), "seconds": 1})
    first, second = results.content["cases"]
    assert first == {"name": "one", "precision": "float32", "seconds": 1}
    assert second == {"name": "two", "precision": "bfloat16", "fault": NO_BFLOAT16}
    assert results.content["table"]["rows"] == [["one"], ["two"]]


def test_the_quickest_compiled_peer_is_the_one_to_compile_again(monkeypatch):
    ratios = {"timm, eager": {"value": 1.0}, "timm, compiled": {"value": 2.0}, "torchvision, compiled": {"value": 1.5}}
    quickest = script("latency", monkeypatch).quickest_compiled
    assert quickest({"ratios": ratios}) == "torchvision"
    assert quickest({"ratios": {"timm, eager": {"value": 1.0}}}) is None


@pytest.mark.parametrize("name", MEASURED)
def test_there_is_a_table_whenever_it_was_stopped(name, monkeypatch):
    result, module = read(ROOT / "results" / f"{name}.json"), script(name, monkeypatch)
    for stopped in range(1, len(result["cases"])):
        assert module.table(result["cases"][:stopped]).rows


def test_the_table_of_memory_knows_sides_that_are_still_to_come(monkeypatch):
    module = script("high_resolution", monkeypatch)
    case = {
        "measures": "no measure",
        "side": 768,
        "most_gigabytes": 20.0,
        "turns": [[3.21]],
        "memory": {"peak": 5e9},
        "fault": None,
    }
    small = module.table([case])
    assert small.rows == [["without kernels", "3.2", "5.0"]]
    assert "Bar" not in small.notes[0]
    refused = {**case, "side": 1536, "turns": [], "fault": "RuntimeError: can't allocate memory"}
    both = module.table([case, {**case, "measures": "native attention"}, refused])
    assert both.rows == [["without kernels", "3.2", "5.0", "–", "more than 20 ✗"], ["as it comes", "3.2", "5.0", "–", "–"]]
    assert "Bar: a step at 1536 x 1536 under 16 GB" in both.notes[0]


def test_cases_of_before_that_are_not_asked_for_stay(tmp_path):
    out = tmp_path / "latency.json"
    Results("latency.py", out, speeds).add({"seconds": 0.5})
    results = Results("latency.py", out, speeds)
    results.keep(lambda case: case["seconds"] == 0.5)
    results.add({"seconds": 0.25})
    assert read(out)["cases"] == [{"seconds": 0.5}, {"seconds": 0.25}]
    stranger = read(out)
    stranger["environment"]["processor"]["name"] = "another"
    out.write_text(json.dumps(stranger), encoding="utf-8")
    Results("latency.py", out, speeds).keep(lambda case: False)
    with pytest.raises(SystemExit, match="another processor"):
        Results("latency.py", out, speeds).keep(lambda case: True)


def test_a_name_that_is_not_known_is_told():
    assert listed("timm,torchvision", ("torchvision", "timm")) == ["timm", "torchvision"]
    with pytest.raises(SystemExit, match="tim: known are torchvision, timm"):
        listed("timm,tim", ("torchvision", "timm"))


def test_subjects_are_timed_in_rounds():
    order: list[str] = []
    rounds = [{"seconds": timed({name: lambda name=name: order.append(name) for name in "ab"})} for _ in range(2)]
    assert order == ["a", "b", "a", "b"]
    assert medians(rounds)["a"].value == pytest.approx(sum(each["seconds"]["a"] for each in rounds) / 2)


def test_explaining_looks_at_what_the_command_shows(monkeypatch):
    module = script("explaining", monkeypatch)
    model, shown = swinkit.load("swin_nano.fashion_mnist"), []
    looked = module.looked
    monkeypatch.setattr(module, "looked", lambda *args, **kwargs: shown.extend(looked(*args, **kwargs)))
    picture = module.ASSETS / "photographs" / "chelsea.jpg"
    monkeypatch.setattr(module, "decode", lambda path, channels: decode(path, model.preprocessing.channels))
    module.look(model, picture, module.Subject(checked=False, everything=False))
    assert not shown
    module.look(model, picture, module.Subject(checked=False, everything=True))
    assert [len(part.views) for part in shown] == [3, 2, model.config.num_stages]


def test_macs_of_simmim_are_those_of_its_layers(monkeypatch):
    module = script("simmim_macs", monkeypatch)
    found = module.run("Swin-T", "swin_t", 192)
    # 768 channels of 6 x 6 tokens to the pixels of each; sparse, of 3 x 3 tokens to 12 x 12 cells, then of 6 x 6 kept ones to their 2x2
    assert found["faithful"]["decoder"] == 36 * 768 * 3 * 32**2
    assert found["sparse"]["decoder"] == 9 * 768 * 4 * 4 * 192 + 36 * 192 * 4 * 3 * 16**2
    assert found["sparse"]["encoder"] == pytest.approx(found["faithful"]["encoder"] / 4, rel=0.01)


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_stored_table_is_what_its_samples_say(path, monkeypatch):
    stored = read(path)
    module = script(stored["benchmark"], monkeypatch)
    assert module.table(stored["cases"]).to_dict() == stored["table"]


def test_every_benchmark_ends_with_its_table():
    for name in TABLED:
        assert "results.finish()" in (ROOT / f"{name}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("value", "least", "most"), [(1.5, "≥ 1.5 ✓", "≤ 1.5 ✓"), (1.4, "≥ 1.5 ✗", "≤ 1.5 ✓"), (None, "≥ 1.5", "≤ 1.5")]
)
def test_a_bar_says_whether_it_is_reached(value, least, most):
    assert (at_least(value, 1.5), at_most(value, 1.5)) == (least, most)
    assert at_least(value, None) == at_most(value, None) == "–"


def test_a_missed_bar_ends_with_code_4_when_all_is_kept(tmp_path, capsys):
    def table(cases):
        return Table(("times", "bar"), [[str(case["times"]), at_least(case["times"], 1.5)] for case in cases])

    results = Results("latency.py", tmp_path / "latency.json", table)
    results.add({"times": 2.0})
    results.add({"times": 1.0})
    with pytest.raises(SystemExit) as ended:
        results.finish()
    assert ended.value.code == 4
    assert "Bars: 1 met, 1 missed" in capsys.readouterr().out
    assert "unfinished" not in read(tmp_path / "latency.json")
