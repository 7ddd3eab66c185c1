"""The benchmarks' tools, their page, and that every script runs."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.report import benchmarks as bench
from reflash.report.benchmarks import NAMES, Result, Spread, Table, digits, in_turns, load, render

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_the_page_shows_the_results_of_record() -> None:
    page = ROOT / "docs/performance.md"
    text = page.read_text()
    assert render(page, ROOT / "benchmarks/results") == text, "run `reflash bench --render`"
    for name in NAMES:
        assert f"<!-- bench {name} -->" in text


def test_results_of_record_say_where_they_come_from() -> None:
    paths = [ROOT / f"benchmarks/results/{name}-cpu.json" for name in NAMES]
    for path in paths:
        result = load(path)
        assert result.tables
        assert {"cpu", "cores", "load_average", "date", "versions"} <= set(result.machine)
        assert result.machine["versions"]["torch"]
        assert result.settings["threads"] >= 1


def test_the_cost_of_dropout_is_there_for_its_table() -> None:
    with (ROOT / "benchmarks/results/cost.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = "network,where,dimension,p,ms_per_iteration,ms_std,extra,extra_error,rounds,"
    columns += "peak_mib,workload,device"
    assert list(rows[0]) == columns.split(",")
    assert {(row["network"], row["where"]) for row in rows} >= {
        ("srresnet", "none"),
        ("srresnet", "last_conv"),
        ("rrdb", "none"),
        ("rrdb", "last_conv"),
    }
    memory = {
        (row["where"], row["dimension"]): float(row["peak_mib"])
        for row in rows
        if row["network"] == "srresnet" and row["p"] in ("", "0.2") and row["device"] == "cpu"
    }
    assert memory["none", ""] <= memory["last_conv", "channel"] < memory["last_conv", "element"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234.5, "1230"), (0.012345, "0.0123"), (2.0, "2"), (99.96, "100"), (0.5, "0.5")],
)
def test_digits(value: float, text: str) -> None:
    assert digits(value) == text


def test_spreads() -> None:
    ours, plain = Spread((1.0, 3.0, 2.0)), Spread((2.0, 3.0, 8.0))
    assert str(ours) == "2 (1–3)"
    assert plain.over(ours).values == (2.0, 1.0, 4.0)
    assert plain.over(ours).median == 2.0  # of the rounds, not of the medians (1.5)
    assert ours.per_second(6).values == (6.0, 2.0, 3.0)
    assert ours.times(1000).median == 2000


def test_sides_take_turns_after_a_warm_up() -> None:
    calls = []
    sides = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    found = in_turns(sides, 3, CPU, warm_up=2)
    assert "".join(calls) == "aabb" + "ababab"
    assert all(len(spread.values) == 3 for spread in found.values())
    del calls[:]
    in_turns(sides, 1, CPU, warm_up=2)
    assert calls == ["a", "b"]


def test_time_is_processor_time() -> None:
    import time

    assert bench.timed(lambda: time.sleep(0.2), CPU) < 0.1


def result(device: str = "cpu") -> Result:
    table = Table("A title", ["side", "ms"], [["ours", "1 (1–2)"]])
    return Result("toy", device, {"threads": 1}, [table], notes=["a note"])


def test_a_result_is_written_read_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = result().save(tmp_path)
    assert path.name == "toy-cpu.json"
    again = load(path)
    assert again.tables == result().tables
    text = again.markdown()
    assert "**A title**\n\n| side | ms |\n|---|---|\n| ours | 1 (1–2) |" in text
    assert "- a note" in text
    assert text in capsys.readouterr().out


def test_a_page_is_filled_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n<!-- bench toy -->\nold\n<!-- end -->\nbetween\n"
        "<!-- bench other -->\nold\n<!-- end -->\nafter\n"
    )
    path = result().save(tmp_path)
    stored = json.loads(path.read_text())
    stored["device"], stored["machine"]["gpu"] = "cuda", "H200"
    (tmp_path / "toy-cuda.json").write_text(json.dumps(stored))
    text = render(page, tmp_path)
    assert text.count("**A title**") == 2
    assert "*H200; torch" in text
    assert text.startswith("before\n<!-- bench toy -->\n**A title**")
    assert text.endswith("Not measured yet: `reflash bench`.\n<!-- end -->\nafter\n")
    assert "old" not in text
    page.write_text(text)
    assert render(page, tmp_path) == text


def test_rows_of_another_device_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    bench.write_rows(path, [{"ms": 1, "device": "cpu"}, {"ms": 2, "device": "cpu"}], "cpu")
    bench.write_rows(path, [{"ms": 3, "device": "cuda"}], "cuda")
    bench.write_rows(path, [{"ms": 4, "device": "cpu"}], "cpu")
    assert path.read_text() == "ms,device\n3,cuda\n4,cpu\n"


def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ReflashError, match="speed: no such benchmark; there are: data, deg"):
        bench.run_benchmarks(["speed"], tmp_path)
    with pytest.raises(ReflashError, match="run this in a clone"):
        bench.run_benchmarks([], tmp_path / "nowhere")
    (tmp_path / "bench_cost.py").write_text("raise SystemExit(3)")
    with pytest.raises(ReflashError, match=r"bench_cost\.py \(status 3\): failed"):
        bench.run_benchmarks(["cost"], tmp_path)


def test_the_command_only_renders_if_told(tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text("<!-- bench toy -->\nold\n<!-- end -->\n")
    result().save(results)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "--render", "--folder", str(tmp_path), "--page", str(page)])
    assert stop.value.code in (0, None)
    assert "A title" in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_script_runs(
    name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in (ROOT / "benchmarks/results").iterdir()}
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    if name == "degradation":
        monkeypatch.delenv("REFLASH_BASICSR", raising=False)
    bench.run_benchmarks([name], ROOT / "benchmarks", "cpu", quick=True)
    out = capfd.readouterr().out
    assert "| " in out
    if name == "degradation":
        assert "released pipeline was not measured: set REFLASH_BASICSR" in out
    after = {path: path.read_bytes() for path in (ROOT / "benchmarks/results").iterdir()}
    assert after == before


@pytest.mark.slow
@pytest.mark.skipif("REFLASH_BASICSR" not in os.environ, reason="REFLASH_BASICSR is not set")
def test_the_released_pipeline_is_driven_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batches have the shapes, grid and sharpened targets of the released training."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import released
    from inputs import photograph

    torch.manual_seed(0)
    pipeline = released.Released([photograph(420, 450, 0)], 8, CPU)
    for _ in range(4):  # two batches fill the queue
        lr, hr = pipeline.batch()
        assert lr.shape == (8, 3, 32, 32)
        assert hr.shape == (8, 3, 128, 128)
        assert torch.allclose(lr * 255, (lr * 255).round(), atol=1e-3)
