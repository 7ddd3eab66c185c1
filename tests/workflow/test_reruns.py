"""What runs again after a change, and nothing else does."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from project_copy import Project

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

RUNS = 10
"""Models of the small study, with one seed."""

TRAINING = {"synthesise_pairs", "train_network", "make_training_images"}
PAPER = {"make_table", "make_figure", "make_report", "summarise_metrics", "test_claims"}


def overriding(text: str) -> tuple[str, ...]:
    return ("--config", "scale=tiny", f"overrides={text}")


def test_nothing_to_do_after_a_finished_run(project: Project) -> None:
    began = os.times()
    assert project.planned() == Counter()
    ended = os.times()  # processor time: other work on the machine does not count
    assert ended.children_user - began.children_user < 10


def test_touched_sources_and_data_rerun_nothing(project: Project) -> None:
    for path in [*project.folder.rglob("src/**/*.py"), *project.folder.rglob("data/**/*.csv")]:
        os.utime(path)
    assert project.planned() == Counter()


def test_noise_level_of_the_test_sets_trains_nothing(project: Project) -> None:
    jobs = project.planned(*overriding("{benchmark: {noise_sigma: 40}}"))
    assert not TRAINING & set(jobs)
    assert jobs["degrade_test_set"] == 4  # the kinds with noise
    assert jobs["evaluate_network"] == RUNS + 1  # and bicubic
    assert set(jobs) >= PAPER


@pytest.mark.parametrize("probabilities", ["{0.3,0.7}", "{0.2,0.3,0.7}"])
def test_another_probability_or_a_new_row_trains_one_run(
    project: Project, probabilities: str
) -> None:
    project.edit("config/study/paper.yaml", "channel-p{0.2,0.7}", f"channel-p{probabilities}")
    jobs = project.planned()
    assert jobs["train_network"] == 1
    assert jobs["evaluate_network"] == 1
    assert not (TRAINING - {"train_network"}) & set(jobs)


def test_figure_style_redraws_figures_and_report(project: Project) -> None:
    jobs = project.planned("--config", "scale=tiny", "style={font_size: 9}")
    assert set(jobs) == {"make_figure", "make_report"}


def test_a_source_file_of_the_evaluation_reruns_it_and_what_follows(project: Project) -> None:
    with (project.folder / "src/reflash/evaluation/evaluate.py").open("a") as file:
        file.write("\n# edited\n")
    jobs = project.planned()
    assert not TRAINING & set(jobs)
    assert set(jobs) >= PAPER
    assert jobs["evaluate_network"] == RUNS + 1


def test_a_source_file_of_the_figures_redraws_them(project: Project) -> None:
    with (project.folder / "src/reflash/paper/figures/style.py").open("a") as file:
        file.write("\n# edited\n")
    assert set(project.planned()) == {"make_figure", "make_report"}


def test_a_source_file_of_the_trainer_trains_again_on_the_same_pairs(project: Project) -> None:
    with (project.folder / "src/reflash/training/schedule.py").open("a") as file:
        file.write("\n# edited\n")
    jobs = project.planned()
    assert jobs["train_network"] == RUNS
    assert "synthesise_pairs" not in jobs


def test_iterations_train_all_runs_again_on_the_same_pairs(project: Project) -> None:
    jobs = project.planned(*overriding("{training: {iterations: 25}}"))
    assert jobs["train_network"] == RUNS
    assert "synthesise_pairs" not in jobs


def test_evaluated_weights_are_a_choice_of_evaluation(project: Project) -> None:
    jobs = project.planned(*overriding("{evaluation: {weights: params_ema}}"))
    assert not TRAINING & set(jobs)
    assert jobs["evaluate_network"] == RUNS + 1
