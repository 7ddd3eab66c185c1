"""What runs again after a change, and nothing else does."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
from PIL import Image
from project_copy import Project

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

RUNS = 10
"""Models of the small study, with one seed."""

TRAINING = {"synthesise_pairs", "train_network", "make_training_images"}
PAPER = {"make_table", "make_figure", "make_report", "summarise_metrics", "test_claims"}


def overriding(text: str) -> tuple[str, ...]:
    return ("--config", "scale=tiny", f"overrides={text}")


def test_after_a_finished_run_nothing_is_done_where_files_are_touched_or_trainings_watched(
    project: Project,
) -> None:
    for path in [*project.folder.rglob("src/**/*.py"), *project.folder.rglob("data/**/*.csv")]:
        os.utime(path)
    assert project.planned(*overriding("{training: {tensorboard: true}}")) == Counter()


def test_noise_level_of_the_test_sets_trains_nothing(project: Project) -> None:
    jobs = project.planned(*overriding("{benchmark: {noise_sigma: 40}}"))
    assert not TRAINING & set(jobs)
    assert jobs["degrade_test_set"] == 4  # the kinds with noise
    assert jobs["evaluate_network"] == RUNS + 1  # and bicubic
    assert set(jobs) >= PAPER


def test_a_new_row_trains_one_run(project: Project) -> None:
    project.edit("config/study/short.yaml", "channel-p{0.2,0.7}", "channel-p{0.2,0.3,0.7}")
    jobs = project.planned()
    assert jobs["train_network"] == 1
    assert jobs["evaluate_network"] == 1
    assert not (TRAINING - {"train_network"}) & set(jobs)


def test_figure_style_redraws_figures_and_report(project: Project) -> None:
    jobs = project.planned("--config", "scale=tiny", "style={font_size: 9}")
    assert set(jobs) == {"make_figure", "make_report"}


HARMLESS = [
    (  # a comment
        "training/optim.py",
        "    schedule, full = settings.schedule, settings.lr\n",
        "    # The rate is a function of the iteration.\n"
        "    schedule, full = settings.schedule, settings.lr\n",
    ),
    # a docstring
    ("training/optim.py", "A pure function of the iteration", "Pure"),
    (  # formatting
        "training/optim.py",
        "schedule, full = settings.schedule, settings.lr",
        "(schedule, full) = (settings.schedule, settings.lr)",
    ),
    # an error text
    ("training/pairs.py", "does not divide", "is no divisor of"),
    # a progress message
    ("training/trainer.py", ": continuing after", ": resumes after"),
    # an error's class
    ("core/errors.py", '"""The exceptions', '"""The kinds of exceptions'),
]


def test_what_decides_no_number_reruns_nothing(project: Project) -> None:
    """All of these together; tests/core/test_fingerprint.py has such changes one by one."""
    for file, old, new in HARMLESS:
        project.edit(f"src/reflash/{file}", old, new)
    assert project.planned() == Counter()


def test_an_operator_of_the_degradation_reruns_pairs_training_and_what_follows(
    project: Project,
) -> None:
    project.edit("src/reflash/degradations/jpeg.py", "50 / quality, 2 -", "51 / quality, 2 -")
    jobs = project.planned()
    assert jobs["synthesise_pairs"] == 2
    assert jobs["train_network"] == RUNS
    assert jobs["evaluate_network"] == RUNS
    assert set(jobs) >= PAPER
    assert not {"make_test_set", "make_training_images", "cache_training_images"} & set(jobs)


def test_a_metric_reruns_evaluation_and_what_follows(project: Project) -> None:
    project.edit("src/reflash/evaluation/metrics.py", "255", "254.0 + 1")
    jobs = project.planned()
    assert not (TRAINING | {"degrade_test_set"}) & set(jobs)
    assert jobs["evaluate_network"] == RUNS + 1
    assert set(jobs) >= PAPER


def test_a_figure_s_drawing_redraws_that_figure_and_the_report(project: Project) -> None:
    project.edit("src/reflash/paper/figures/probability.py", "0.2, 0.4, 0.6", "0.25, 0.5")
    jobs = project.planned()
    assert jobs == Counter({"make_figure": 1, "make_report": 1})


def test_what_all_figures_share_redraws_them(project: Project) -> None:
    with (project.folder / "src/reflash/paper/figures/style.py").open("a") as file:
        file.write("\n\nANOTHER = 1\n")
    assert set(project.planned()) == {"make_figure", "make_report"}


def test_a_schedule_trains_again_on_the_same_pairs(project: Project) -> None:
    project.edit("src/reflash/training/optim.py", "+ 0.5 * (full", "+ 0.25 * (full")
    jobs = project.planned()
    assert jobs["train_network"] == RUNS
    assert "synthesise_pairs" not in jobs


def test_finished_runs_of_hours_are_not_replaced_unasked(project: Project) -> None:
    """Planning stops, whether the settings changed or the code; nothing is touched."""
    records = sorted(project.folder.glob("results/tiny/runs/*/*/*/seed0/run.json"))
    assert len(records) == RUNS
    for path in records:
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "seconds": 1800.0}))
    files = [path for path in project.folder.glob("results/tiny/runs/**/*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert len(before) > 5 * RUNS
    trial = "overrides={training: {iterations: 25}}"
    stopped = project.snakemake("--config", "scale=tiny", trial, check=False)
    assert stopped.returncode != 0
    said = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert f"{RUNS} finished runs (5.0 hours of training) would be replaced" in said[0]
    assert "training.iterations: 20 -> 25" in said[0]
    assert "extends: tiny" in said[0]
    assert "replace=true" in said[0]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    allowed = project.planned("--config", "scale=tiny", trial, "replace=true")
    assert allowed["train_network"] == RUNS
    assert "synthesise_pairs" not in allowed

    (project.folder / "config/scale/trial.yaml").write_text(
        "extends: tiny\ndescription: a trial\ntraining: {iterations: 25}\n"
    )
    assert project.planned("--config", "scale=trial")["train_network"] == RUNS
    assert project.planned() == Counter()

    # Other validation images change no weight, and Snakemake would train again all the same.
    other = ("--config", "scale=tiny", "overrides={validation_set: {limit: 1}}")
    stopped = project.snakemake(*other, check=False)
    said = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert f"{RUNS} finished runs (5.0 hours of training) would be replaced" in said[0]
    assert "Snakemake would train them again (snakemake -n says why" in said[0]
    weights = [path for path in before if path.suffix == ".safetensors"]
    assert all(before[path] == path.stat().st_mtime_ns for path in weights)
    project.snakemake("--touch", *other)
    assert all(path.is_file() for path in before)

    project.edit("src/reflash/training/optim.py", "+ 0.5 * (full", "+ 0.25 * (full")
    stopped = project.snakemake(check=False)
    assert "have changed since: the training code." in stopped.stderr


def test_evaluated_weights_are_a_choice_of_evaluation(project: Project) -> None:
    jobs = project.planned(*overriding("{evaluation: {weights: params_ema}}"))
    assert not TRAINING & set(jobs)
    assert jobs["evaluate_network"] == RUNS  # bicubic has no weights


def test_a_folder_with_braces_in_its_names_is_planned_like_any_other(project: Project) -> None:
    """Snakemake takes braces for wildcards; such images must be neither lost nor left out."""
    own = project.folder / "own"
    own.mkdir()
    for name in ("a{b}.png", "sp ace.png"):
        Image.effect_noise((96, 96), 50).convert("RGB").save(own / name)
    tested = "{test_sets: {own: {source: folder, folder: own}}}"
    assert project.planned(*overriding(tested))["evaluate_network"] == RUNS + 1
    trained = "{training_images: {source: folder, folder: own}}"
    jobs = project.planned(*overriding(trained))
    assert jobs["make_training_images"] == 1
    assert jobs["train_network"] == RUNS
