"""``swinkit bench`` and ``swinkit compare``: what they count, measure, draw and refuse."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import swinkit
from swinkit import machine
from swinkit.cli.main import run
from swinkit.cli.pages import comparing, studying, tables
from swinkit.report.page import render
from swinkit.study import bench as bench_study
from swinkit.study import compare as compare_study
from swinkit.study import plans
from swinkit.study.macs import count_macs
from swinkit.study.turns import Measured
from swinkit.variants import configure

from ..report.hostile import PAYLOADS
from ..report.test_page import faults


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert run([*arguments, "--json", "-q"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "bench"
    command = ["bench", "swin_nano.fashion_mnist", "--image-size", "28", "--image-size", "30x44", "--batch-size", "2"]
    assert run([*command, "--precision", "float32", "--engine", "plain", "--rounds", "2", "--out", str(out), "-q"]) == 0
    return out


def test_the_bundled_model_is_counted_measured_and_drawn(benched):
    result = json.loads((benched / "bench.json").read_text("utf-8"))
    assert (result["weights"], result["parameters"]["total"]) == ("trained", 667_468)
    assert [row["size"] for row in result["rows"]] == [[28, 28], [30, 44]]
    for row in result["rows"]:
        assert 0 < row["share_of_floor"]["low"] <= row["share_of_floor"]["value"] < 1
        assert row["pictures_per_second"] == pytest.approx(2 / row["latency_seconds"]["value"])
        assert len(row["turns"]) == 2
        runs = sorted(seconds for turn in row["turns"] for seconds in turn)
        assert (row["runs"], runs[-1] >= row["latency_p95_seconds"] >= row["latency_seconds"]["value"]) == (len(runs), True)
        assert row["first_seconds"] > 0
    assert result["environment"]["processor"]["cores"]
    page = (benched / "bench.html").read_text("utf-8")
    assert "<svg" in page
    assert "30x44" in page
    assert "<script" not in page


def test_a_side_is_compared_from_which_on_most_is_no_padding(capsys):
    rows = answer(capsys, "compare", "swin_t", "swinv2_t", "--image-size", "64", "--dry-run")["rows"]
    assert [row["model"] for row in rows] == ["swin_t", "swinv2_t"]
    assert answer(capsys, "compare", "swin_nano.fashion_mnist", "--image-size", "16", "--dry-run")["rows"]


@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano", "swinv2_t", "swin_t"])
def test_each_parameter_is_counted_once(variant, capsys):
    parameters = answer(capsys, "bench", variant, "--dry-run")["parameters"]
    total = parameters.pop("total")
    sizes = {name: parameter.numel() for name, parameter in swinkit.create_model(variant).named_parameters()}
    assert total == sum(parameters.values()) == sum(sizes.values())
    between = (size for name, size in sizes.items() if "norm" in name and not {"patch_embed", "merge"} & set(name.split(".")))
    assert parameters["norms"] == sum(between) > 0


def test_nothing_is_overwritten(benched, capsys):
    assert run(["bench", "swin_nano", "--dry-run", "--out", str(benched)]) == 2
    assert "not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (["bench", "swin_nano"], "compare swin_nano --out compare"),
        (["compare", "deit_ti", "swin_nano", "--image-size", "32"], "bench swin_nano --out bench"),
        (["compare", "deit_ti", "--image-size", "32"], "bench swin_t --out bench"),
    ],
)
def test_what_is_written_is_followed_by_what_was_not_done(words, following, tmp_path, capsys):
    assert run([*words, "--dry-run", "--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: swinkit {following}"


@pytest.mark.parametrize(
    "words", [["bench", "swin_nano", "--image-size", "28"], ["compare", "swin_nano", "--image-size", "28"]]
)
def test_what_is_not_written_is_kept_by_the_same_command(words, capsys):
    assert run([*words, "--dry-run"]) == 0
    told = f"Next: the same command with --out {words[0]} instead of --dry-run"
    assert capsys.readouterr().err.splitlines()[-1] == told
    assert run([*words, "--rounds", "1", "--max-seconds", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: the same command with --out {words[0]}"


def test_a_dry_run_counts_and_measures_nothing(capsys):
    result = answer(capsys, "bench", "swinv2_t", "--dry-run")
    counted = result["macs"]["counted"][0]
    assert counted["parts"]["mlp"] == count_macs(configure("swinv2_t"), (256, 256)).mlp
    assert (result["weights"], counted["published_gmacs"], result["rows"]) == ("random", 5.9, [])


def test_the_table_names_its_unit(capsys):
    assert run(["bench", "swin_t", "--dry-run", "-q"]) == 0
    shown = capsys.readouterr().out
    assert "GMACs of one picture" in shown
    assert "4.491" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "swin_nano", "--engine", "magic"], "There is no engine 'magic'"),
        (["bench", "swin_nano", "--engine", "all", "--engine", "magic", "--dry-run"], "There is no engine 'magic'"),
        (["bench", "swin_nano", "--image-size", "0x4"], "is no size"),
        (["bench", "swin_nano", "--precision", "int8"], "int8"),
        (["compare", "deit_s", "--image-size", "225"], "deit_s takes sides that divide by 16, not 225"),
        (["compare", "swin_t", "--image-size", "20"], "At 20 x 20 pixels 91% of what swin_t computes is padding"),
        (["compare", "swin_t", "--image-size", "20"], "Mend: another side, such as --image-size 64"),
        (["compare", "swin_t", "--image-size", "65"], "such as --image-size 96"),
        (["compare", "swin_b_384", "--image-size", "64"], "--image-size 96"),
        (["compare", "swin_t", "--image-size", "8"], "8 is not in the range"),
        (["bench", "swin_x"], "There is no model or variant 'swin_x'. Did you mean 'swin_t' or"),
        (["compare", "deit_x"], "There is no model or variant 'deit_x'. Did you mean 'deit_"),
        (["compare", "vit"], "deit_ti, deit_s, deit_b"),
        (["tour", "--model", "swin_x"], "There is no model or variant 'swin_x'"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message, capsys):
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


def test_swin_beside_a_vision_transformer(tmp_path):
    out = tmp_path / "compare"
    command = ["compare", "swin_nano", "deit_ti", "--image-size", "32", "--rounds", "1", "-q"]
    assert run([*command, "--out", str(out)]) == 0
    result = json.loads((out / "compare.json").read_text("utf-8"))
    assert [(row["model"], row["side"]) for row in result["rows"]] == [("swin_nano", 32), ("deit_ti", 32)]
    assert all(row["latency_seconds"]["value"] > 0 for row in [*result["rows"], *result["layers"]])
    page = (out / "compare.html").read_text("utf-8")
    assert "Ω(W-MSA)" in page
    assert page.count("<svg") >= 5


def test_crossings_of_the_counted_macs_are_named(capsys):
    result = answer(capsys, "compare", "swinv2_t", "deit_s", "--dry-run")
    (crossing,) = result["crossings"]
    assert crossing["quantity"] == "MACs"
    assert 224 < crossing["side"] < 384
    growth = {each["of"]: each["power"] for each in result["growth"] if each["quantity"] == "MACs"}
    assert growth["swinv2_t"] == pytest.approx(1, abs=0.03)
    assert growth["deit_s"] > 1.2
    assert comparing.sentences(result)[0].startswith("MACs: swinv2_t and deit_s cross at 2")


def test_what_is_asked_for_twice_is_done_once(capsys, monkeypatch):
    doubled = ["--image-size", "32", "--image-size", "32"]
    assert len(answer(capsys, "compare", "swin_nano", "swin_nano", *doubled, "--dry-run")["rows"]) == 1
    asked = []
    monkeypatch.setattr(
        bench_study, "measure", lambda cases, plan, *_: asked.append((len(cases), [way.name for way in plan.ways])) or []
    )
    twice = [*doubled, *2 * ["--engine", "plain"], *2 * ["--batch-size", "1"], *2 * ["--precision", "float32"]]
    assert len(answer(capsys, "bench", "swin_nano", *twice)["macs"]["counted"]) == 1
    assert asked == [(1, ["plain"])]


def test_memory_below_that_of_the_libraries_is_no_point_of_a_curve():
    rows = [{"model": name, "side": side, "macs": 1} for name in ("swin_nano", "deit_ti") for side in (32, 64)]
    for row in rows:
        small = row["model"] == "swin_nano" and row["side"] == 32
        memory = {"loaded": 300, "peak": 200 if small else 400}
        compare_study._add(row, Measured(row["model"], turns=[[1.0]], memory=memory), "float32")
    assert compare_study.summarise(rows, [])["growth"]
    assert [row.get("memory_bytes") for row in rows] == [None, 100, 100, 100]


def test_what_is_passing_is_no_line(capsys):
    with studying.Narrator(quiet=False) as narrate:
        narrate("round 1 of 2", passing=True)
        narrate("round table")
    assert capsys.readouterr().err == "round table\n"


def test_a_row_that_failed_is_a_row_and_a_remark():
    row = {"asked": "auto", "precision": "float32", "batch": 1, "size": [8, 8], "fault": "auto: no memory"}
    table = tables.speed_table([row])
    assert table.rows[0][:4] == ["auto", "float32", "1", "8x8"]
    assert len(table.rows[0]) == len(table.columns)
    assert studying.remarks({"rows": [row, row]}) == ["float32, batch 1, 8x8: auto: no memory"]


def test_emulated_bfloat16_is_told_wherever_its_figures_stand(monkeypatch, tmp_path, capsys):
    processor = {**machine.processor(), "bfloat16": False}
    monkeypatch.setattr(bench_study.machine, "processor", lambda: processor)
    monkeypatch.setattr(bench_study, "measure", lambda *_: [speed_row(0.1, precision="bfloat16")])
    monkeypatch.setattr(
        compare_study, "take_turns", lambda candidates, *_, **__: {one.name: Measured(one.name) for one in candidates}
    )
    told = "does not multiply bfloat16, so that bfloat16 is emulated"
    for verb in ("bench", "compare"):
        run([verb, "swin_nano", "--image-size", "32", "--precision", "bfloat16", "--out", str(tmp_path / verb)])
        assert told in capsys.readouterr().err
        assert all(told in (tmp_path / verb / f"{verb}.{kind}").read_text("utf-8") for kind in ("json", "html"))


def test_both_charts_of_an_engine_run_from_left_to_right_in_one_colour():
    rows = [speed_row(0.1 * batch, batch=batch, floor_seconds={"value": 0.1}) for batch in (8, 1)]
    time, memory = studying._charts(rows)
    assert [at for at, _ in time.lines["plain, float32"]] == [at for at, _ in memory.lines["plain, float32"]] == [1, 8]
    assert list(time.lines) == ["plain, float32", "floor, float32"]


def test_pages_say_why_a_row_is_empty(benched):
    result = {**json.loads((benched / "bench.json").read_text("utf-8")), "remarks": []}
    assert "Remarks" not in render(studying.bench_page(result, "it"), "study.html.j2")
    row = {"asked": "auto", "precision": "float32", "batch": 1, "size": [8, 8], "fault": "auto: no memory"}
    page = render(studying.bench_page({**result, "rows": [*result["rows"], row]}, "it"), "study.html.j2")
    assert "Remarks" in page
    assert "float32, batch 1, 8x8: auto: no memory" in page
    compared = {
        "rows": [{"model": "swin_t", "side": 32, "macs": 1, "useful_macs": 1, "attention_macs": 1, "fault": "swin_t: no time"}],
        "layers": [],
    }
    nothing = {"precision": "float32", "crossings": [], "growth": [], "environment": result["environment"]}
    page = render(comparing.page({**compared, **nothing}), "study.html.j2")
    assert "32 pixels: swin_t: no time" in page.replace("<wbr>", "")


@pytest.mark.parametrize("share", [0.9, 2.16])
def test_a_floor_of_calls_is_no_headline(benched, share):
    result = json.loads((benched / "bench.json").read_text("utf-8"))
    rows = [
        {**row, "share_of_floor": {**row["share_of_floor"], "value": share}}
        for row in result["rows"]
        if "share_of_floor" in row
    ]
    page = studying.bench_page({**result, "rows": rows}, "it")
    assert any(figure.name == "Of the GEMM floor" for figure in page.headlines) == (share < 1)
    assert (studying.CALLS in page.chapters[0].lead) == (share > 1)


def test_what_computed_in_another_precision_is_beside_no_floor():
    case, way = plans.Case("bfloat16", 1, (8, 8)), plans.Way("onnxruntime", "", {})
    floor = Measured("GEMM floor", turns=[[1.0]])
    measured = Measured("onnxruntime", about={"engine": "onnxruntime", "precision": "float32"}, turns=[[1.0]])
    row = bench_study._row(case, way, measured, floor, 1)
    assert row["fault"] == "onnxruntime computes in float32 here, not in bfloat16"
    assert row["precision"] == "bfloat16"
    assert "latency_seconds" not in row
    compared: dict = {"model": "swin_t", "side": 8, "macs": 1}
    compare_study._add(compared, measured, "bfloat16")
    assert compared["fault"] == f"swin_t: {row['fault']}"
    assert "latency_seconds" not in compared


def speed_row(seconds: float, **changed: object) -> dict:
    one = {"value": seconds, "low": None, "high": None}
    row = {
        "asked": "plain",
        "engine": "plain",
        "precision": "float32",
        "batch": 1,
        "size": [8, 8],
        "fault": None,
        "latency_seconds": one,
    }
    return {
        **row,
        "pictures_per_second": 1 / seconds,
        "macs_per_second": 1e6,
        "memory_bytes": {"peak": 300, "loaded": 400},
        **changed,
    }


def test_figures_of_a_tiny_model_are_told_and_one_round_has_no_interval():
    (cells,) = tables.speed_table([speed_row(4.1e-5)]).rows
    assert cells[4:8] == ["0.0410", "–", "24,390", "0.00100"]
    assert cells[11] == "–", "it needs less than its libraries gave back"
    rows = [
        {
            "model": "m",
            "side": 32,
            "macs": 9_000_000,
            "useful_macs": 8_300_000,
            "attention_macs": 1,
            "latency_seconds": {"value": 2e-2, "low": None, "high": None},
        }
    ]
    assert comparing.table(rows).rows[0][2:] == ["0.00900", "0.0%", "20.0", "19,531", "0.415", "–"]


def hostile(result: dict) -> dict:
    """``result`` with a name, a fault and a command that would act in a page."""
    rows = [{**row, "model": PAYLOADS[0], "asked": PAYLOADS[2], "fault": PAYLOADS[3]} for row in result["rows"]]
    environment = {**result["environment"], "command": ["swinkit", *PAYLOADS]}
    return {**result, "rows": rows, "environment": environment, "weights": PAYLOADS[1]}


def test_no_name_acts_in_the_page_of_a_study(benched, capsys):
    benchmark = hostile(json.loads((benched / "bench.json").read_text("utf-8")))
    compared = hostile(
        answer(capsys, "compare", "swin_nano", "deit_ti", "--image-size", "32", "--image-size", "64", "--dry-run")
    )
    for page in (studying.bench_page(benchmark, PAYLOADS[4]), comparing.page(compared)):
        shown = render(page, "study.html.j2")
        assert faults(shown) == []
        assert "onerror" in shown


def test_a_page_of_what_was_only_counted_explains_no_measurement(capsys):
    bench = studying.bench_page(answer(capsys, "bench", "swin_nano", "--dry-run"), "swin_nano")
    compared = comparing.page(answer(capsys, "compare", "swin_nano", "--image-size", "32", "--dry-run"))
    for page, absent in ((bench, "Speed and memory"), (compared, "formulas"), (compared, "Crossings")):
        assert absent not in render(page, "study.html.j2")


def test_an_engine_that_is_not_installed_is_told_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr("swinkit.runtime.kinds.is_installed", lambda package: False)
    assert run(["bench", "swin_nano", "--engine", "openvino"]) == 1
    assert "swinkit[export]" in capsys.readouterr().err


def test_a_benchmark_that_measured_nothing_has_failed(monkeypatch, capsys):
    row = {"asked": "plain", "precision": "float32", "batch": 1, "size": [28, 28], "fault": "plain: no memory"}
    monkeypatch.setattr(bench_study, "measure", lambda *_: [row])
    assert run(["bench", "swin_nano", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"] == [row]
    assert "Nothing could be measured" in printed.err


@pytest.mark.parametrize(
    ("study", "sign"), [(bench_study, signal.SIGINT), (compare_study, signal.SIGTERM)], ids=["bench", "compare"]
)
def test_an_interrupted_measurement_keeps_what_was_measured_before(study, sign, monkeypatch, tmp_path, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background ignores
    asked = []

    def turns(candidates, pace, say):
        asked.append(candidates)
        if len(asked) == 2:
            signal.raise_signal(sign)
            pytest.fail("went on")
        return {one.name: Measured(one.name, turns=[[0.5], [0.5]]) for one in candidates}

    monkeypatch.setattr(study, "take_turns", turns)
    verb, out = study.__name__.rpartition(".")[2], tmp_path / "out"
    sizes = [word for side in ("32", "64", "96") for word in ("--image-size", side)]
    try:
        code = run([verb, "swin_nano", *sizes, "--out", str(out), *(["--batch-size", "1"] if verb == "bench" else [])])
    finally:
        signal.signal(signal.SIGINT, before)
    assert code == 130
    assert "Stopped: what was measured before is shown" in capsys.readouterr().err
    rows = json.loads((out / f"{verb}.json").read_text("utf-8"))["rows"]
    assert len(asked) == 2
    assert ["latency_seconds" in row for row in rows] == [not row.get("fault") for row in rows]
    assert 0 < sum("latency_seconds" in row for row in rows) < len(rows)
    assert {row["fault"].rpartition(": ")[2] for row in rows if row.get("fault")} == {"left out, interrupted"}


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["bench", "swin_nano", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "no folder that can be written to" in capsys.readouterr().err


def test_rows_paste_into_an_issue(monkeypatch, capsys):
    monkeypatch.setattr(bench_study, "measure", lambda *_: [speed_row(0.1, asked="a|b", engine="a|b")])
    assert run(["bench", "swin_nano", "--markdown", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith(("| engine", "| a\\|b"))]
    assert len(rows) == 2
    assert {line.replace("\\|", "").count("|") for line in rows} == {len(tables.SPEED) + 1}
    assert any(line.startswith("| processor") for line in lines)
