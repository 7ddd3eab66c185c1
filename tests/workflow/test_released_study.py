"""The paper's comparison from stand-ins for the authors' files, by the whole workflow."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from project_copy import ROOT, Project, copy_project

from reflash.models.build import build_network
from reflash.models.foreign import to_authors
from reflash.study.config import PAPER_NETWORKS, RELEASED

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PAIR = "title: The pair\nmodels: [srresnet/multi/none, srresnet/multi/last_conv-channel-p0.7]\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pair of SRResNets at scale tiny from seeded files of the authors' layout and size."""
    folder = tmp_path_factory.mktemp("released")
    project = copy_project(ROOT, folder)
    for seed, name in enumerate(("SRResNet_wodropout", "SRResNet_withdropout", "RRDB_dropout")):
        torch.manual_seed(seed)
        network = PAPER_NETWORKS["rrdb" if "RRDB" in name else "srresnet"][1]
        state = to_authors(build_network(network).state_dict())
        (folder / "drive").mkdir(exist_ok=True)
        torch.save({"params": state, "params_ema": state}, folder / f"drive/Real-{name}.pth")
    (folder / "config/study/pair.yaml").write_text(PAIR)
    project.run("reflash", "weights", "import", "drive")
    project.snakemake("--config", "scale=tiny", "study=pair", "weights=released")
    return project


def test_everything_comes_out_that_needs_no_log(pair: Project) -> None:
    results, figures = (pair.folder / f"{top}/tiny/released/pair" for top in ("results", "figures"))
    models = set(RELEASED[:2])
    for name in ("multi_degradation", "dropout_grid", "chi"):
        assert models == set(pd.read_csv(results / f"tables/{name}.csv").model) - {"bicubic"}
    for name in (
        "teaser_bars",
        "visual_comparison",
        "saliency_maps",
        "saliency_distribution",
        "channel_ablation",
        "progressive_masking",
        "degradation_clusters",
        "feature_drop_sensitivity",
    ):
        assert models <= set(pd.read_csv(figures / f"{name}.csv").model), name
        assert "released weights" in (figures / f"{name}.json").read_text()
    assert not (figures / "training_curves.csv").exists()
    assert json.loads((results / "claims.json").read_text())["claims"]
    page = (results / "report/index.html").read_text()
    for model in RELEASED[:2]:
        path = pair.folder / "data/weights/released" / model / "params.json"
        assert json.loads(path.read_text())["sha256"] in page
    assert "weights=released" in page
    assert not list(pair.folder.rglob("train"))
    assert not list(pair.folder.rglob("log.csv"))


def test_the_four_are_asked_for_and_nothing_is_done_twice(pair: Project) -> None:
    planned = ("--config", "scale=tiny", "study=pair", "weights=released")
    assert not pair.planned(*planned)
    pair.run("reflash", "weights", "import", "drive")
    assert not pair.planned(*planned)
    main = ("--config", "scale=tiny", "study=main", "weights=released")
    done = pair.snakemake("-n", *main, check=False)
    assert done.returncode
    assert "rrdb/multi/none/params.safetensors: missing, but weights are `released`" in done.stderr


def test_weights_of_another_network_are_refused(pair: Project) -> None:
    file = str(Path("drive/Real-RRDB_dropout.pth"))
    done = pair.run("reflash", "weights", "import", file, "srresnet/multi/none", check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "was imported as rrdb/multi/last_conv-channel-p0.5" in done.stderr
