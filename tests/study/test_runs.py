"""Runs on disk: their records against the plan, and what protects the finished ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reflash.cli import main
from reflash.core.errors import ReflashError
from reflash.core.fingerprint import stage_fingerprint
from reflash.datasets.images import write_png
from reflash.study import runs
from reflash.study.checks import load_plan
from reflash.study.context import records_sentence
from reflash.study.inputs import files_read, read_inputs
from reflash.study.plan import Plan
from reflash.study.runs import (
    artefact_context,
    made_from,
    protect_finished_runs,
    run_state,
)
from reflash.study.saved import open_results, save_config
from reflash.study.workflow import require_makers
from reflash.training.record import write_record

RUN = "srresnet/multi/none/seed0"


def plan(root: Path, **values: Any) -> Plan:
    return load_plan({"scale": "tiny", "study": "main", **values}, root / "config")


def finish(made: Plan, run: str, folder: Path, hours: float = 0.0) -> Path:
    """Write a run as training leaves it, with weights that are not read here."""
    out = folder / made.files.run(run)
    out.mkdir(parents=True)
    for name in ("params.safetensors", "params_ema.safetensors", "log.csv"):
        (out / name).write_text(f"{name} of {run}")
    write_record(
        out,
        made.run_settings(run),
        recipe="0",
        data="1",
        made_from=made_from(made, run),
        done=made.scale.training.iterations,
        seconds=3600 * hours,
        device="cpu",
        precision="fp32",
        threads=1,
        runs_together=1,
        resumes=0,
    )
    return out


def test_states(root: Path, tmp_path: Path) -> None:
    made = plan(root)
    assert run_state(made, RUN, tmp_path).state == "missing"
    folder = tmp_path / made.files.run(RUN)
    folder.mkdir(parents=True)
    (folder / "state-1234.pt").touch()
    assert run_state(made, RUN, tmp_path).state == "begun"
    (folder / "state-1234.pt").unlink()
    folder.rmdir()
    finish(made, RUN, tmp_path, hours=2)
    state = run_state(made, RUN, tmp_path)
    assert (state.state, state.hours, state.changes, state.problems) == ("finished", 2.0, (), ())


@pytest.mark.parametrize(
    ("overrides", "change"),
    [
        ({"training": {"iterations": 30}}, "training.iterations: 20 -> 30"),
        ({"networks": {"srresnet": {"features": 4}}}, "network.features: 8 -> 4"),
        ({"training_images": {"count": 5}}, "the training images or pairs"),
        ({"benchmark": {"noise_sigma": 40}}, None),
        ({"evaluation": {"weights": "params_ema"}}, None),
    ],
)
def test_changes_are_named_by_key(
    root: Path, tmp_path: Path, overrides: dict[str, Any], change: str | None
) -> None:
    finish(plan(root), RUN, tmp_path)
    changes = run_state(plan(root, overrides=overrides), RUN, tmp_path).changes
    assert changes == ((change,) if change else ())


def test_changed_training_code_is_a_change(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(root)
    finish(made, RUN, tmp_path)
    monkeypatch.setattr(
        runs,
        "stage_fingerprint",
        lambda stage: "new" if stage == "training" else stage_fingerprint(stage),
    )
    assert run_state(made, RUN, tmp_path).changes == ("the training code",)


def test_planning_stops_before_hours_of_training_are_replaced(root: Path, tmp_path: Path) -> None:
    made = plan(root)
    for run in made.all_runs:
        finish(made, run, tmp_path, hours=0.4)
    protect_finished_runs(made, tmp_path)
    changed = {"training": {"lr": 0.001}}
    with pytest.raises(ReflashError) as stopped:
        protect_finished_runs(plan(root, overrides=changed), tmp_path)
    text = str(stopped.value)
    assert text.startswith("4 finished runs (1.6 hours of training) would be replaced (srresnet/")
    assert "training.lr: 0.002 -> 0.001" in text
    assert "`extends: tiny`" in text
    assert "--config replace=true" in text
    assert "\n" not in text
    for allowed in ({"replace": True}, {"protect_hours": 2.0}, {"weights": "published"}):
        protect_finished_runs(plan(root, overrides=changed, **allowed), tmp_path)
    # What Snakemake is about to train again is at risk, whatever has changed.
    protect_finished_runs(made, tmp_path, again=made.all_runs[:2])
    with pytest.raises(ReflashError, match=r"4 finished runs .* \(snakemake -n says why"):
        protect_finished_runs(made, tmp_path, again=made.all_runs)


def test_folders_of_ones_own_are_those_of_the_project(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever `reflash runs` is started."""
    write_png(tmp_path / "pics/a.png", np.zeros((64, 64, 3), np.uint8))
    own = {"training_images": {"source": "folder", "folder": "pics"}}
    made = plan(root, overrides=own)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        finish(made, RUN, tmp_path)
    assert run_state(made, RUN, tmp_path).changes == ()


def test_results_may_lie_behind_a_link(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on clusters, whose fast disks are elsewhere."""
    (tmp_path / "scratch/other").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    for target in ("scratch/other", "scratch/results"):
        (tmp_path / target).mkdir(exist_ok=True)
        link = tmp_path / "project/results"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / target)
        made = plan(root)
        monkeypatch.chdir(tmp_path / "project")
        save_config(made, Path(made.files.config))
        for cwd, where in ((tmp_path / "project", Path()), (tmp_path, tmp_path / "project")):
            monkeypatch.chdir(cwd)
            _, found = open_results(tmp_path / "project" / made.files.results)
            assert found == where


def test_other_weights_are_said_in_every_caption(root: Path, tmp_path: Path) -> None:
    made = plan(root)
    for run in made.all_runs:
        finish(made, run, tmp_path)
    sound = artefact_context(made, "tables", "multi_degradation", tmp_path)
    assert records_sentence(sound) == ""
    (tmp_path / made.files.weights(RUN)).write_text("another file")
    marked = artefact_context(made, "tables", "multi_degradation", tmp_path)
    assert marked.not_recorded == (RUN,)
    assert RUN in records_sentence(marked)


def test_runs_in_different_arithmetic_are_said_in_every_caption(root: Path, tmp_path: Path) -> None:
    made = plan(root)
    for run in made.trained_runs:
        record = finish(made, run, tmp_path) / "run.json"
        values = json.loads(record.read_text()) | {"precision": "bf16"}
        record.write_text(json.dumps(values))
    same = artefact_context(made, "tables", "multi_degradation", tmp_path)
    assert (same.arithmetic, records_sentence(same)) == (("bf16",), "")
    record = tmp_path / made.files.run(RUN) / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"precision": "fp32"}))
    mixed = artefact_context(made, "tables", "multi_degradation", tmp_path)
    assert records_sentence(mixed) == "Warning: some runs were trained in bf16 and others in fp32."


def test_a_run_kept_without_weights_is_as_recorded(root: Path, tmp_path: Path) -> None:
    made = plan(root)
    for run in made.trained_runs:
        for weights in finish(made, run, tmp_path).glob("*.safetensors"):
            weights.unlink()
    assert not artefact_context(made, "tables", "multi_degradation", tmp_path).not_recorded
    (tmp_path / made.files.run(RUN) / "run.json").unlink()
    assert artefact_context(made, "tables", "multi_degradation", tmp_path).not_recorded == (RUN,)


def test_the_folder_of_another_run_is_said_too(root: Path, tmp_path: Path) -> None:
    """Copied as a whole, its record is right, and of another run."""
    made = plan(root)
    for run in made.all_runs:
        finish(made, run, tmp_path)
    other = next(run for run in made.trained_runs if run != RUN)
    shutil.copytree(
        tmp_path / made.files.run(other), tmp_path / made.files.run(RUN), dirs_exist_ok=True
    )
    assert artefact_context(made, "tables", "multi_degradation", tmp_path).not_recorded == (RUN,)
    (problem,) = run_state(made, RUN, tmp_path).problems
    assert f"holds run {other} instead of {RUN}" in problem


def test_saved_configuration_is_the_plan(root: Path, tmp_path: Path) -> None:
    made = plan(root, overrides={"seeds": [0, 1]}, style={"font_size": 9})
    path = save_config(made, tmp_path / made.files.config)
    again, found = open_results(path.parent)
    assert again.resolved == made.resolved
    assert found == tmp_path
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere/config.json")
    with pytest.raises(ReflashError, match="holds the configuration of results/tiny/main"):
        open_results(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/config.json").write_text(json.dumps({"config": {}}))
    with pytest.raises(ReflashError, match="not a configuration of this version"):
        open_results(tmp_path / "elsewhere")


def test_rule_and_reader_name_the_same_files(root: Path, tmp_path: Path) -> None:
    """Made where the rule's inputs say, every file is found by the command."""
    made = load_plan({"scale": "tiny"}, root / "config")
    for kind in ("tables", "figures"):
        for name in made.artefacts(kind):
            files = [f for files in files_read(made, kind, name).values() for f in files]
            for file in files:
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).touch()
            inputs = read_inputs(made, kind, name, tmp_path)
            assert inputs.required(made.artefacts(kind)[name].inputs, name)
            if files:
                (tmp_path / files[-1]).unlink()
                with pytest.raises(ReflashError, match="missing; make it with the workflow"):
                    read_inputs(made, kind, name, tmp_path)


def test_listing_says_state_changes_and_problems(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(root)
    first, second, third, _ = made.all_runs
    finish(made, first, tmp_path, hours=1.5)
    finish(plan(root, overrides={"training": {"lr": 0.5}}), second, tmp_path, hours=0.25)
    (tmp_path / made.files.weights(second)).write_text("another file")
    other = "srresnet/multi/b8-channel-p0.2/seed0"
    finish(load_plan({"scale": "tiny"}, root / "config"), other, tmp_path)
    save_config(made, tmp_path / made.files.config)
    with pytest.raises(SystemExit) as ended:
        main(["runs", "--results", str(tmp_path / made.files.results)])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == [first, "finished", "20"]
    assert "1.50 h  cpu" in lines[0]
    assert lines[1].startswith(second)
    assert lines[2] == "    changed since: training.lr: 0.5 -> 0.002"
    assert "not the weights that run" in lines[3]
    assert lines[4].split() == [third, "missing"]
    assert lines[-2].startswith(other)
    assert lines[-2].endswith("(not of this study)")
    assert lines[-1] == "3 of 5 runs finished, 1.8 hours of training"


def test_a_file_that_no_rule_makes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    class Rule:
        def is_producer(self, file: str) -> bool:
            return file.endswith(".csv")

    require_makers([Rule()], ["a.csv"])
    with pytest.raises(ReflashError, match="^b.json: the study needs it, no rule makes it"):
        require_makers([Rule()], ["a.csv", "b.json"])
    Path("b.json").touch()
    require_makers([Rule()], ["a.csv", "b.json"])
