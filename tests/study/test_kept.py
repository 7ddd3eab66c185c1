"""What a repository keeps of a study's runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_runs import finish

from reflash.cli import main
from reflash.core.errors import ReflashError
from reflash.study.checks import load_plan
from reflash.study.inputs import needed_files, read_inputs
from reflash.study.kept import keep
from reflash.study.plan import Plan
from reflash.study.runs import artefact_context
from reflash.study.saved import save_config


@pytest.fixture
def made(root: Path, tmp_path: Path) -> Plan:
    """A finished study, its files as far as they matter here."""
    plan = load_plan({"scale": "tiny", "study": "main"}, root / "config")
    for run in plan.trained_runs:
        finish(plan, run, tmp_path)
    for file in map(tmp_path.joinpath, needed_files(plan)):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"of {file.name}")
    save_config(plan, tmp_path / plan.files.config)
    return plan


def test_all_that_claims_tables_and_figures_read_of_runs_is_kept(
    made: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, runs = tmp_path / made.files.results, tmp_path / made.files.runs
    with pytest.raises(SystemExit) as ended:
        main(["store", "keep", "--results", str(results)])
    assert ended.value.code == 0
    kept = {
        path.relative_to(results / "runs") for path in results.rglob("runs/**/*") if path.is_file()
    }
    assert f"{len(kept)} files" in capsys.readouterr().out
    tables = {path.relative_to(runs) for path in runs.rglob("*.csv") if path.name != "manifest.csv"}
    assert kept == tables | {Path(run, "run.json") for run in made.trained_runs}
    assert {path.suffix for path in kept} == {".csv", ".json"}
    assert any("bicubic" in path.parts for path in kept)
    for path in kept:
        assert (results / "runs" / path).read_bytes() == (runs / path).read_bytes()


def test_results_made_from_what_is_kept_bear_no_warning(made: Plan, tmp_path: Path) -> None:
    results, runs = tmp_path / made.files.results, tmp_path / made.files.runs
    keep(results)
    shutil.rmtree(runs)
    shutil.copytree(results / "runs", runs)
    for kind in ("tables", "figures"):
        for name in made.artefacts(kind):
            assert artefact_context(made, kind, name, tmp_path).not_recorded == ()
    read_inputs(made, "claims", root=tmp_path)
    other = runs / made.trained_runs[0] / "params.safetensors"
    other.write_text("weights of somebody")
    assert artefact_context(made, "tables", "claims", tmp_path).not_recorded == (
        made.trained_runs[0],
    )


def test_what_the_study_has_no_longer_is_not_kept(made: Plan, tmp_path: Path) -> None:
    results = tmp_path / made.files.results
    old = results / "runs/srresnet/multi/b8-channel-p0.2/seed0"
    old.mkdir(parents=True)
    for name in ("run.json", "log.csv", "half.safetensors"):
        (old / name).write_text("old")
    kept = keep(results)
    assert [path.name for path in old.iterdir()] == ["half.safetensors"]
    assert keep(results) == kept
    assert all(path.is_file() for path in kept)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("params.safetensors", "no such file; train the run"),
        ("evaluation", "no such file; make it with the workflow"),
    ],
)
def test_nothing_is_kept_of_an_unfinished_study(
    made: Plan, tmp_path: Path, file: str, message: str
) -> None:
    path = tmp_path / made.files.run(made.trained_runs[1]) / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    results = tmp_path / made.files.results
    with pytest.raises(ReflashError, match=message):
        keep(results)
    assert not (results / "runs").exists()


def test_the_own_study_of_a_scale_is_refused(root: Path, tmp_path: Path) -> None:
    plan = load_plan({"scale": "tiny"}, root / "config")
    save_config(plan, tmp_path / plan.files.config)
    with pytest.raises(ReflashError, match="give a study with a name of its own"):
        keep(tmp_path / plan.files.results)
