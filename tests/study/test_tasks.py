"""Other tasks: the plan, a network without up-sampling from pairs to scores, table and claims."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.datasets.cache import ImageCache, build_cache
from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.manifest import write_manifest
from reflash.degradations.benchmark import degrade_folder
from reflash.degradations.settings import KINDS, BenchmarkSettings
from reflash.degradations.tasks import TASKS
from reflash.evaluation.evaluate import evaluate
from reflash.evaluation.metrics import psnr
from reflash.evaluation.upscalers import open_upscaler
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings
from reflash.models.weights import load_network
from reflash.paper.claims.tests import examine_claims
from reflash.paper.tables import tasks
from reflash.paper.tables.layout import to_markdown
from reflash.study.artefacts import Claims, Tasks
from reflash.study.checks import load_plan
from reflash.study.inputs import Inputs, evaluation_files, files_read, needed_files
from reflash.study.plan import Plan
from reflash.training.pairs import PoolPairs
from reflash.training.pool import build_pool
from reflash.training.settings import PoolSettings, RunSettings
from reflash.training.trainer import Options, Trainer, train
from reflash.training.validation import Validation

NONE, DROPOUT = "srresnet/denoise/none", "srresnet/denoise/last_conv-channel-p0.5"
SR = "srresnet/multi/none"
CPU = torch.device("cpu")


@pytest.fixture
def plan(root: Path) -> Plan:
    return load_plan({"study": "tasks", "scale": "tiny"}, root / "config")


def test_plan(plan: Plan) -> None:
    run = f"{NONE}/seed0"
    settings = plan.run_settings(run)
    assert settings.network.scale == 1
    assert settings.training.validation.kinds == TASKS["denoise"].inside
    assert plan.baselines == ()
    assert plan.kinds_of(run) == TASKS["denoise"].kinds
    assert plan.kinds == tuple(kind for task in TASKS.values() for kind in task.kinds)
    assert plan.training_source(run).endswith("pairs/denoise/pool.json")
    assert plan.image_list(run, "photos").endswith("photos/images-denoise.csv")
    assert list(plan.artefacts("tables")) == ["tasks", "cost", "claims"]
    assert list(plan.artefacts("figures")) == []
    assert not [file for file in needed_files(plan) if "bicubic" in file or "/clean/" in file]
    assert len(evaluation_files(plan)) == 12
    assert "bicubic" not in plan.main_labels


def test_other_artefacts_leave_tasks_out(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    study = {"title": "Both", "models": [SR, NONE, DROPOUT]}
    (tmp_path / "config/study/both.yaml").write_text(yaml.safe_dump(study))
    both = load_plan({"study": "both", "scale": "tiny"}, tmp_path / "config")
    assert both.artefact_models("multi_degradation", "tables") == (SR,)
    assert both.artefact_models("tasks", "tables") == (NONE, DROPOUT)
    assert both.artefact_models("claims", "tables") == (SR, NONE, DROPOUT)
    assert both.baselines == ("bicubic",)
    assert both.kinds == KINDS + TASKS["denoise"].kinds
    assert both.kinds_of("bicubic") == both.kinds_of(f"{SR}/seed0") == KINDS
    assert both.image_list("bicubic", "photos").endswith("photos/images.csv")
    assert not [f for f in files_read(both, "tables", "tasks")["evaluations"] if SR in f]
    same = load_plan({"study": "main", "scale": "tiny"}, root / "config")
    assert both.run_settings(f"{SR}/seed0") == same.run_settings(f"{SR}/seed0")


def test_a_run_is_validated_on_kinds_of_its_own(plan: Plan) -> None:
    """Others have another size."""
    of_task = plan.run_settings(f"{NONE}/seed0").model_dump(mode="json")
    for kinds, says in (
        (["clean"], "clean is of super-resolution"),
        (["jpeg101"], "from 1 to 100"),
        (["jpeg050"], "from 1 to 100"),
    ):
        training = of_task["training"] | {"validation": {"kinds": kinds}}
        with pytest.raises(ValueError, match=says):
            RunSettings.model_validate(of_task | {"training": training})
    training = of_task["training"] | {"validation": {"kinds": ["gaussian25"]}}
    changed = {"setting": "multi", "network": {"name": "srresnet"}, "training": training}
    with pytest.raises(ValueError, match="gaussian25 is of other tasks, and the setting is multi"):
        RunSettings.model_validate(of_task | changed)


@pytest.mark.parametrize("kind", ["blur100000", "blur0", "jpeg0", "jpeg101", "poisson0"])
def test_a_level_that_makes_no_sense_is_refused(
    kind: str, tmp_path: Path, photo_like: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "hr/a.png", photo_like)
    with pytest.raises(SystemExit) as ended:
        main(["degrade", str(tmp_path / "hr"), str(tmp_path / "lr"), "--kind", kind])
    assert ended.value.code == 1
    assert f"--kind {kind}: the level of" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "lr").exists()


def test_a_network_of_ones_own_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    study = {"title": "Own", "models": ["own/denoise/none"]}
    (tmp_path / "config/study/own.yaml").write_text(yaml.safe_dump(study))
    overrides = {"networks": {"own": {"factory": "mynet.py:build"}}}
    with pytest.raises(ReflashError, match="own/denoise/none.*other tasks take srresnet and rrdb"):
        load_plan({"study": "own", "scale": "tiny", "overrides": overrides}, tmp_path / "config")


@pytest.mark.parametrize(
    "settings",
    [SRResNetSettings(features=4, blocks=2, scale=1), RRDBSettings(features=4, blocks=1, scale=1)],
)
def test_a_network_without_upsampling_keeps_the_size(
    settings: SRResNetSettings | RRDBSettings,
) -> None:
    network = build_network(settings).eval()
    lr = torch.rand(2, 3, 9, 7)
    with torch.no_grad():
        sr, features = network.forward_features(lr)
        assert sr.shape == lr.shape
        assert {x.shape[-2:] for x in features.values()} == {(9, 7)}
        torch.testing.assert_close(network.forward_from("b1", features["b1"], lr), sr)
        if isinstance(settings, SRResNetSettings):  # the global residual is the input itself
            network.conv_last.weight.zero_()
            assert torch.equal(network(lr), lr)
    assert not [name for name in network.state_dict() if "up" in name]


def test_from_pairs_to_scores(plan: Plan, tmp_path: Path, photo_like: np.ndarray) -> None:
    """A tiny training of the study's own run, its weights from the file, and every test kind."""
    images = tmp_path / "hr"
    for number in range(2):
        write_png(images / f"{number}.png", np.roll(photo_like, 17 * number, axis=1)[:96, :96])
    write_manifest(images)
    cache = ImageCache.open(build_cache(images, tmp_path / "cache"))
    pool = plan.pool_settings("denoise").model_dump()
    pool["pairs"] |= {"window": 64, "count": 12}
    build_pool(PoolSettings.model_validate(pool), cache, tmp_path / "pool", 4)
    values = plan.run_settings(f"{DROPOUT}/seed0").model_dump(mode="json")
    values["pairs"] |= {"window": 64, "count": 12}
    values["training"] |= {"iterations": 6, "batch": 4}
    values["training"]["validation"] |= {"every": 6, "crop": 48}
    settings = RunSettings.model_validate(values)
    pairs = PoolPairs(tmp_path / "pool", 4, 0, CPU, settings)
    lr, hr = pairs.batch(0)
    assert lr.shape == hr.shape
    validation = Validation(settings.training.validation, images)
    train([Trainer(settings, validation, tmp_path / "run")], pairs, CPU, Options())
    log = pd.read_csv(tmp_path / "run/log.csv")
    assert {"psnr_gaussian15", "psnr_gaussian25", "psnr_poisson1"} <= set(log.columns)
    weights = tmp_path / "run/params.safetensors"
    assert load_network(weights).scale == 1
    lr_folders = {}
    for kind in TASKS["denoise"].kinds:
        lr_folders[kind] = tmp_path / kind
        degrade_folder(images, lr_folders[kind], kind, BenchmarkSettings(mod=4))
    upscaler = open_upscaler(weights, device="cpu")
    table = evaluate(upscaler, images, lr_folders, "run", "photos")
    assert list(dict.fromkeys(table["kind"])) == list(TASKS["denoise"].kinds)
    sr = upscaler(read_rgb(lr_folders["gaussian15"] / "0.png"))
    own = table[(table["kind"] == "gaussian15") & (table["image"] == "0")]["psnr"]
    assert float(own.iloc[0]) == pytest.approx(psnr(sr, read_rgb(images / "0.png")), abs=1e-6)
    means = table.groupby("kind")["psnr"].mean()
    assert means["gaussian15"] > means["gaussian40"] > means["gaussian60"]


def test_sr_networks_are_still_asked_for_x4(plan: Plan, tmp_path: Path) -> None:
    folder = tmp_path / "hr"
    write_png(folder / "a.png", np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(ReflashError, match="not 4 times"):
        evaluate(open_upscaler("bicubic"), folder, {"clean": folder}, "bicubic", "photos")


@pytest.fixture
def evaluations(tmp_path: Path) -> list[Path]:
    """Dropout loses 0.2 dB in distribution and gains 0.6 dB out of it."""
    rng, rows = np.random.default_rng(0), []
    level = 30 + rng.normal(0, 1, 10)
    for model in (NONE, DROPOUT):
        for kind in TASKS["denoise"].kinds:
            gain = {NONE: 0.0, DROPOUT: -0.2 if kind in TASKS["denoise"].inside else 0.6}[model]
            of_kind = level + gain + rng.normal(0, 0.02, 10)
            rows += [
                (f"{model}/seed0", "photos", kind, f"{i}", value) for i, value in enumerate(of_kind)
            ]
    path = tmp_path / "evaluation.csv"
    pd.DataFrame(rows, columns=["run", "set", "kind", "image", "psnr"]).to_csv(path, index=False)
    return [path]


def test_table(plan: Plan, evaluations: list[Path]) -> None:
    context = plan.context([NONE, DROPOUT])
    frame = tasks.gather(context, Tasks(), evaluations)
    assert len(frame) == 2 * (6 + 2)
    of = frame.set_index(["model", "kind"])
    assert of.loc[(DROPOUT, "inside"), "gain"] == pytest.approx(-0.2, abs=0.02)
    assert of.loc[(DROPOUT, "outside"), "gain"] == pytest.approx(0.6, abs=0.02)
    assert of.loc[(DROPOUT, "outside"), "low"] < 0.6 < of.loc[(DROPOUT, "outside"), "high"] + 0.05
    assert np.isnan(of.loc[(NONE, "outside"), "gain"])
    kinds = list(TASKS["denoise"].outside)
    mean = np.mean([of.loc[(DROPOUT, kind), "psnr"] for kind in kinds])
    assert of.loc[(DROPOUT, "outside"), "psnr"] == pytest.approx(mean)
    text = to_markdown(tasks.arrange(frame, context, Tasks()))
    assert "denoising: in gaussian15, gaussian25, poisson1; out gaussian40" in text
    assert "gaussian 5 to 30 or poisson 0.5 to 2" in text


def test_claims(plan: Plan, evaluations: list[Path]) -> None:
    context = plan.context([NONE, DROPOUT])
    found = examine_claims(context, Claims(resamples=400), Inputs(evaluations=evaluations))
    verdicts = {claim.number: claim.verdict for claim in found.claims}
    assert (verdicts[9], verdicts[10]) == ("not supported", "supported")
    assert 8 not in verdicts
    assert all(verdicts[number] == "not tested" for number in range(1, 8))
    (part,) = next(claim.parts for claim in found.claims if claim.number == 10)
    assert part.name == "gain of dropout out of distribution, denoising, srresnet"
    assert part.compared == (f"{DROPOUT} - {NONE}",)
