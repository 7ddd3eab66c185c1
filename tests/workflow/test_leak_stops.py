"""A test image among the training images stops the workflow before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from project_copy import ROOT, copy_project

from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.photos import sample_photos

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def test_both_files_are_named_and_nothing_is_trained(tmp_path: Path) -> None:
    project = copy_project(ROOT, tmp_path / "project")
    own = tmp_path / "own"
    photos = sample_photos()
    first = sorted(photos)[0]  # a test image of scale tiny
    write_png(own / "holiday.png", read_rgb(photos[first])[:, ::-1])
    rng = np.random.default_rng(0)
    write_png(own / "other.png", rng.integers(0, 256, (200, 200, 3), np.uint8))
    images = f"{{source: folder, folder: {own}, sub_image: null}}"
    overrides = f"overrides={{training_images: {images}, test_sets: {{photos: {{crop: null}}}}}}"
    run = "results/tiny/runs/srresnet/multi/none/seed0/params.safetensors"
    result = project.snakemake(run, "--config", "scale=tiny", overrides, check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    (line,) = {line.strip() for line in output.splitlines() if line.strip().startswith("error:")}
    assert "holiday.png" in line
    assert f"{first}.png" in line
    assert not (project.folder / run).exists()
    assert not list(project.folder.rglob("leaks.csv"))


def test_a_new_test_set_is_checked_and_trains_nothing(tmp_path: Path) -> None:
    project = copy_project(ROOT, tmp_path / "project")
    rng = np.random.default_rng(0)
    for folder in ("train", "test"):
        for name in range(2):
            noise = rng.integers(0, 256, (200, 200, 3), np.uint8)
            write_png(tmp_path / folder / f"{name}.png", noise)

    def scored(test_set: str) -> str:
        return f"results/tiny/runs/srresnet/multi/none/seed0/evaluation/{test_set}.csv"

    def overriding(sets: str) -> tuple[str, ...]:
        images = f"{{source: folder, folder: {tmp_path / 'train'}, sub_image: null}}"
        overrides = f"{{training_images: {images}, test_sets: {{{sets}}}}}"
        return ("--config", "scale=tiny", f"overrides={overrides}")

    small = f"{{source: folder, folder: {tmp_path / 'test'}}}"
    one = overriding(f"photos: null, one: {small}")
    project.snakemake(scored("one"), *one)
    alone = "title: One network\nmodels: [srresnet/multi/none]\n"
    (project.folder / "config/study/alone.yaml").write_text(alone)
    # Nothing is evaluated again where weights are only restored.
    assert not project.planned(scored("one"), *one, "study=alone", "weights=published")
    jobs = project.planned(
        scored("two"), scored("one"), *overriding(f"photos: null, one: {small}, two: {small}")
    )
    assert jobs["check_leaks"] == 1
    assert jobs["evaluate_network"] == 1
    assert not jobs["train_network"]
