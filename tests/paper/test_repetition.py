"""Runs made again, beside those on record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from reflash.cli import main
from reflash.core.errors import ReflashError
from reflash.paper.repetition import compare_runs
from reflash.study.checks import load_plan
from reflash.study.plan import Plan
from reflash.study.saved import save_config
from reflash.training.record import WEIGHTS, write_record

RUN = "srresnet/multi/none/seed0"
LOG = """run,iteration,learning_rate,loss,psnr_clean,psnr_blur_noise_jpeg,psnr
r,10,0.1,0.5,25.0,22.0,23.5
r,20,0.1,0.4,26.0,23.0,24.5
"""


@pytest.fixture
def made(root: Path) -> Plan:
    return load_plan({"scale": "tiny", "study": "main"}, root / "config")


def finish(made: Plan, folder: Path, log: str = LOG, weights: str = "weights") -> Path:
    out = folder / RUN
    out.mkdir(parents=True)
    for name in WEIGHTS.values():
        (out / name).write_text(weights)
    (out / "log.csv").write_text(log)
    facts = {"recipe": "0", "data": "1", "done": 20, "seconds": 1.0, "device": "cpu"}
    more = {"precision": "fp32", "threads": 1, "runs_together": 1, "resumes": 0, "log": log}
    write_record(out, made.run_settings(RUN), **facts, **more)  # type: ignore[arg-type]
    return out


def change(folder: Path, **values: object) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | values))


def test_the_same_bytes(made: Plan, tmp_path: Path) -> None:
    for name in ("here", "there"):
        finish(made, tmp_path / name)
    (only,) = compare_runs(tmp_path / "here", tmp_path / "there")
    assert (only.run, only.equal, only.largest, only.last) == (RUN, True, 0, 0)
    assert str(only) == "bit for bit as recorded"


def test_weights_need_not_be_on_record(made: Plan, tmp_path: Path) -> None:
    finish(made, tmp_path / "here")
    recorded = finish(made, tmp_path / "there")
    for name in WEIGHTS.values():
        (recorded / name).unlink()
    assert compare_runs(tmp_path / "here", tmp_path / "there")[0].equal


def test_another_machine(made: Plan, tmp_path: Path) -> None:
    here = finish(
        made, tmp_path / "here", LOG.replace("25.0,", "25.25,").replace("24.5", "24.375"), "others"
    )
    change(here, precision="bf16", versions={"python": "3.11", "torch": "9"})
    there = finish(made, tmp_path / "there")
    change(there, versions={"python": "3.11", "torch": "8"})
    (only,) = compare_runs(tmp_path / "here", tmp_path / "there")
    assert (only.equal, only.largest, only.last, only.recipe) == (False, 0.25, -0.125, ())
    assert only.machine == ("precision: fp32 -> bf16", "torch: 8 -> 9")
    assert str(only) == (
        "-0.125 dB after the last iteration, 0.250 dB off at most in between "
        "(precision: fp32 -> bf16; torch: 8 -> 9)"
    )


def test_another_recipe_is_named(made: Plan, root: Path, tmp_path: Path) -> None:
    other = load_plan(
        {"scale": "tiny", "study": "main", "overrides": {"training": {"lr": 0.5}}}, root / "config"
    )
    change(finish(other, tmp_path / "here", weights="others"), data="2", code="new")
    finish(made, tmp_path / "there")
    (only,) = compare_runs(tmp_path / "here", tmp_path / "there")
    changed = ("training.lr: 0.002 -> 0.5", "other training pairs", "other training code")
    assert only.recipe == changed


def test_runs_of_other_names_are_not_compared(made: Plan, tmp_path: Path) -> None:
    finish(made, tmp_path / "there")
    assert compare_runs(tmp_path / "here", tmp_path / "there") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: (run / "log.csv").write_text("".join(LOG.splitlines(True)[:2])),
            "same length",
        ),
        (lambda run: (run / "run.json").write_text("{}"), "not the record of a run"),
        (lambda run: (run / "run.json").unlink(), "no such file"),
        (lambda run: (run / "log.csv").write_text(""), "log.csv: "),
        (lambda run: (run / "log.csv").write_text("a,b\n1,2\n"), "log.csv: "),
        (lambda run: (run / "log.csv").write_text(LOG[: LOG.rindex(",24.5")]), "not a number"),
        (lambda run: (run / "log.csv").write_text(LOG.replace("24.5", "x")), "not a number"),
    ],
)
def test_what_cannot_be_compared(made: Plan, tmp_path: Path, damage, message: str) -> None:
    damage(finish(made, tmp_path / "here"))
    finish(made, tmp_path / "there")
    with pytest.raises(ReflashError, match=message):
        compare_runs(tmp_path / "here", tmp_path / "there")


@pytest.mark.parametrize(("tolerance", "status"), [("0.2", 0), ("0.1", 1)])
def test_the_command(
    made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str], tolerance: str, status: int
) -> None:
    finish(made, tmp_path / made.files.runs, LOG.replace("24.5", "24.625"), "others")
    finish(made, tmp_path / "record/runs")
    save_config(made, tmp_path / made.files.config)
    results, against = tmp_path / made.files.results, tmp_path / "record"
    command = ["runs", "--results", str(results), "--against", str(against)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--tolerance", tolerance])
    assert ended.value.code == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "    against the record: +0.125 dB after the last iteration, 0.125 dB off at most in "
        "between (nothing that is recorded differs)"
    )
    assert lines[-1] == (
        f"{against}: 1 of its runs made here, 0 bit for bit, {status} more than {tolerance} dB "
        "apart at the end"
    )
    shutil.rmtree(against)
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    assert "record: no records of runs below it" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["record", "record/runs"])
def test_a_run_of_other_settings_is_not_called_near(
    made: Plan, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    other = load_plan(
        {"scale": "tiny", "study": "main", "overrides": {"training": {"lr": 0.5}}}, root / "config"
    )
    finish(other, tmp_path / made.files.runs, LOG.replace("24.5", "9.5"), "others")
    finish(made, tmp_path / "record/runs")
    save_config(made, tmp_path / made.files.config)
    results, against = tmp_path / made.files.results, tmp_path / named
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--results", str(results), "--against", str(against)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{against}: 1 of its runs made here, 0 bit for bit, 0 more than 0.1 dB apart at the end; "
        "not judged: 1 of other settings, images or code"
    )


def test_a_comparison_with_nothing_fails(
    made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(made, tmp_path / "record/runs")
    save_config(made, tmp_path / made.files.config)
    command = ["runs", "--results", str(tmp_path / made.files.results)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--against", str(tmp_path / "record")])
    assert ended.value.code == 1
    assert "none of its runs is finished here" in capsys.readouterr().err
