"""Jobs and disk of a study; that the workflow plans as many is tested beside its other plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from reflash.cli.app import main
from reflash.study.checks import load_plan
from reflash.study.plan import Plan
from reflash.study.size import datasets, describe_size, study_bytes, study_jobs, submissions


def plan(root: Path, **values: object) -> Plan:
    return load_plan(values, root / "config")


def test_the_paper_is_a_tenth_as_many_submissions_as_jobs(root: Path) -> None:
    paper = plan(root, scale="paper")
    jobs = study_jobs(paper)
    assert (jobs["train"], jobs["evaluate"]) == (204, 205 * 5)
    assert jobs["fetch"] == len(datasets(paper)) == 6
    assert submissions(paper) <= jobs.total() / 10


def test_weights_take_four_bytes_each_twice(root: Path) -> None:
    tiny = plan(root, scale="tiny", study="main", overrides={"pairs": {"count": 100}})
    sizes = study_bytes(tiny)
    assert sizes["pairs"] == 100 * 3 * (32**2 + 8**2)
    assert sizes["datasets"] == 0
    # Two runs each of SRResNet and RRDB.
    first = plan(root, scale="tiny", study="main", overrides={"seeds": [0, 1]})
    assert study_bytes(first)["weights, raw and averaged"] == 2 * sizes["weights, raw and averaged"]
    srresnet = 1_517_571  # parameters of the paper's, as released
    paper = study_bytes(plan(root, scale="paper", study="main", overrides={"seeds": [0]}))
    rrdb = 16_697_987
    assert paper["weights, raw and averaged"] == 2 * 4 * 2 * (srresnet + rrdb)


def test_released_weights_train_nothing(root: Path) -> None:
    jobs = study_jobs(plan(root, scale="set5", study="main", weights="released"))
    assert jobs["train"] == 0
    assert jobs["evaluate"] == 5  # four networks and bicubic on Set5


def test_datasets_of_seal_are_counted(root: Path) -> None:
    assert {"Set14", "Set14_SE"} <= set(datasets(plan(root, scale="demo", study="seal")))


def test_what_the_command_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "plan --scale tiny --study main --iterations 1 --device cpu --cost --folder"
    with pytest.raises(SystemExit) as end:
        main([*words.split(), str(root / "config")])
    assert not end.value.code
    shown = capsys.readouterr().out
    assert shown.endswith("\n".join(describe_size(plan(root, scale="tiny", study="main"))) + "\n")
    assert "submitted to a cluster by the Slurm profile: 6" in shown
