"""Models, runs and the settings each stage is given."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from reflash.core.errors import ReflashError
from reflash.study import checks
from reflash.study.artefacts import Claims
from reflash.study.checks import check_images, check_tensorboard, load_plan
from reflash.study.plan import Plan
from reflash.study.runs import made_from
from reflash.study.workflow import folder_key
from reflash.training.record import settings_key


def plan(root: Path, **values: Any) -> Plan:
    return load_plan(values, root / "config")


def test_runs_are_models_times_seeds(root: Path) -> None:
    two = plan(root, overrides={"seeds": [0, 3]})
    assert two.runs("srresnet/multi/none") == [
        "srresnet/multi/none/seed0",
        "srresnet/multi/none/seed3",
    ]
    assert two.run_settings("srresnet/multi/none/seed3").seed == 3


def test_a_study_may_name_its_own_seeds(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    study = tmp_path / "config/study/one.yaml"
    text = "title: One seed\nmodels: [srresnet/multi/none]\n"
    study.write_text(text + "seeds: [4]\n")
    changed = plan(tmp_path, study="one", overrides={"seeds": [0, 1]})
    assert changed.scale.seeds == (0, 1)
    made = plan(tmp_path, study="one")
    assert made.runs("srresnet/multi/none") == ["srresnet/multi/none/seed4"]
    assert made.context(["srresnet/multi/none"]).seeds == (4,)
    study.write_text(text + "seeds: [1, 1]\n")
    with pytest.raises(ReflashError, match=r"one.yaml: seeds: \[1, 1\]; give each seed once"):
        plan(tmp_path, study="one")
    # The authors trained each of their networks once.
    study.write_text(text + "seeds: [4]\n")
    released = {"study": "one", "weights": "released"}
    assert plan(tmp_path, **released).scale.seeds == (0,)
    with pytest.raises(ReflashError, match=r"overrides\.seeds: the authors' networks were trained"):
        plan(tmp_path, **released, overrides={"seeds": [0, 1]})


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [(["psnr", "ssim"], "tables.anatomy shows psnr_low"), (["ssim"], "tables.claims shows psnr")],
)
def test_images_are_evaluated_in_every_metric_that_is_shown(
    root: Path, tmp_path: Path, metrics: list[str], shown: str
) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    tables = "{multi_degradation: {metric: ssim}, dropout_grid: null, anatomy: %s}"
    text = "title: T\nmodels: [srresnet/multi/none]\ntables: "
    study, anatomy = tmp_path / "config/study/one.yaml", "psnr" in metrics
    study.write_text(text + tables % ("{}" if anatomy else "null"))
    with pytest.raises(ReflashError) as raised:
        plan(tmp_path, study="one", overrides={"evaluation": {"metrics": metrics}})
    assert shown in str(raised.value)
    assert "not among evaluation.metrics of scale demo; add it there" in str(raised.value)
    if anatomy:
        study.write_text(text + tables % "null")
        assert plan(tmp_path, study="one", overrides={"evaluation": {"metrics": metrics}})


def test_images_that_are_shown_are_cut_as_those_that_are_evaluated(root: Path) -> None:
    assert plan(root).tiles_option == ""
    cut = plan(root, overrides={"evaluation": {"tile": 64, "overlap": 0}})
    assert cut.tiles_option == "--tile 64 --overlap 0"


def test_what_makes_intervals_does_so_as_the_claims_do(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    study = tmp_path / "config/study/one.yaml"
    text = "title: T\nmodels: ['srresnet/multi/{none,last_conv-channel-p0.7}']\n"
    text += "figures: {gain_anatomy: {}}\ntables: {claims: %s}\n"
    study.write_text(text % "{confidence: 0.9}")
    made = plan(tmp_path, study="one")
    assert made.artefact_context("figures", "gain_anatomy").claims.confidence == 0.9
    # A figure without intervals is not made again where only they change.
    assert made.artefact_context("figures", "teaser_bars").claims == Claims()
    study.write_text(text % "null")
    made = plan(tmp_path, study="one")
    assert made.artefact_context("figures", "gain_anatomy").claims == Claims()


def test_no_two_models_are_shown_by_one_name(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    study = tmp_path / "config/study/both.yaml"
    text = "title: T\nmodels: ['srresnet/{single,multi}/none', rrdb/multi/none, external/x]\n"
    (tmp_path / "x.pth").touch()
    text += f"external: {{x: {{weights: '{tmp_path}/x.pth', label: RRDB}}}}\n"
    study.write_text(text)
    labels = plan(tmp_path, study="both").main_labels
    assert list(labels.values()) == [
        *("Bicubic", "SRResNet (single)", "SRResNet (multi)", "RRDB (multi)", "RRDB (x)")
    ]
    study.write_text(text + "labels: {srresnet/multi/none: SRResNet}\n")
    made = plan(tmp_path, study="both")
    assert list(made.main_labels.values())[1:3] == ["SRResNet (single)", "SRResNet"]
    assert made.context(made.models).network_label("srresnet", "single") == "SRResNet"


@pytest.mark.parametrize("name", ["released", "runs", "tables", "report"])
def test_no_study_lies_in_another_folder_of_its_scale(
    root: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    (tmp_path / f"config/study/{name}.yaml").write_text("title: T\nmodels: [srresnet/multi/none]\n")
    with pytest.raises(ReflashError, match=f"config/study/{name}.yaml: {name} is the name of"):
        plan(tmp_path, study=name)
    # As the scale's own it has no folder of its name.
    plan(tmp_path, study=name, scale="tiny", overrides={"study": name})


def test_no_scale_lies_in_a_folder_that_all_share(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "config", tmp_path / "config")
    scale = tmp_path / "config/scale/weights.yaml"
    scale.write_text("extends: tiny\ndescription: whatever\n")
    with pytest.raises(ReflashError, match=r"config/scale/weights.yaml: weights is the name of"):
        plan(tmp_path, scale="weights")


def test_a_run_depends_on_no_test_setting(root: Path) -> None:
    run = "srresnet/multi/last_conv-channel-p0.7/seed0"
    benchmark = {"noise_sigma": 40, "noise_rounding": "round", "mod": 4, "jpeg_quality": 10}
    changed = plan(
        root, overrides={"benchmark": benchmark, "evaluation": {"weights": "params_ema"}}
    )
    assert changed.run_settings(run) == plan(root).run_settings(run)


def test_watching_a_training_is_no_part_of_its_identity(root: Path) -> None:
    run = "srresnet/multi/last_conv-channel-p0.7/seed0"
    watched = plan(root, overrides={"training": {"tensorboard": True}})
    assert watched.scale.training.tensorboard
    assert (
        watched.run_settings(run).model_dump_json()
        == plan(root).run_settings(run).model_dump_json()
    )
    key = settings_key(watched.run_settings(run))
    assert key == settings_key(plan(root).run_settings(run))
    assert made_from(watched, run) == made_from(plan(root), run)


def test_a_missing_tensorboard_is_told_before_any_work(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tensorboard(plan(root, overrides={"training": {"tensorboard": True}}))
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    check_tensorboard(plan(root))
    with pytest.raises(ReflashError, match=r"training.tensorboard: .*reflash\[tensorboard\]"):
        check_tensorboard(plan(root, overrides={"training": {"tensorboard": True}}))


def test_a_degradation_depends_on_its_own_settings_only(root: Path) -> None:
    changed = plan(root, overrides={"benchmark": {"noise_sigma": 40, "seed": 5}})
    for kind in plan(root).kinds:
        same = changed.benchmark_settings(kind) == plan(root).benchmark_settings(kind)
        assert same == ("noise" not in kind), kind


def test_pool_changes_with_degradation_not_with_iterations(root: Path) -> None:
    base = plan(root).pool_settings("multi")
    assert plan(root, overrides={"training": {"iterations": 7}}).pool_settings("multi") == base
    usm = plan(root, overrides={"degradation": {"usm": False}}).pool_settings("multi")
    assert usm != base


def test_studies_share_runs_not_artefacts(root: Path) -> None:
    paper, mine = plan(root).files, plan(root, study="mine").files
    assert paper.runs == mine.runs == "results/demo/runs"
    assert (paper.results, mine.results) == ("results/demo", "results/demo/mine")


def test_a_run_of_an_unknown_network_is_refused(root: Path) -> None:
    with pytest.raises(ReflashError, match="no network 'edsr'"):
        plan(root).run_settings("edsr/multi/none/seed0")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": "paper"}, "Manga109: is never downloaded; give the folder"),
        ({"scale": "hour"}, "DIV2K_train: read their terms .* accept_terms=true"),
        ({"scale": "hour", "accept_terms": True}, None),
        ({"scale": "paper", "mirror": "."}, None),
        ({"scale": "paper", "mirror": "https://example.org/sr"}, None),
        ({"scale": "paper", "mirror": "/nowhere"}, "^/nowhere: no such folder; give the folder of"),
        (
            {"overrides": {"training_images": {"source": "folder", "folder": "/nowhere"}}},
            "^/nowhere: no such folder .training images.",
        ),
        ({"scale": "demo"}, None),
    ],
)
def test_what_cannot_be_fetched_is_said_before_any_work(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    message: str | None,
) -> None:
    made = plan(root, **values)
    monkeypatch.chdir(tmp_path)
    if message is None:
        check_images(made)
    else:
        with pytest.raises(ReflashError, match=message):
            check_images(made)


def test_what_was_made_of_a_dataset_needs_it_no_more(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(root, scale="hour")
    monkeypatch.chdir(tmp_path)
    files = [made.files.hr(name) for name in (*made.test_sets, "validation")]
    files += [made.files.weights(run) for run in made.all_runs]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    check_images(made)
    (tmp_path / files[-1]).unlink()
    with pytest.raises(ReflashError, match="^DIV2K_train: read their terms"):
        check_images(made)


def test_a_run_holds_only_what_its_setting_uses(root: Path) -> None:
    """So that a key of the other setting trains it not again."""

    def runs(**changes: Any) -> list[Any]:
        made = plan(root, overrides=changes)
        settings = ("single", "multi", "dejpeg")
        return [made.run_settings(f"srresnet/{name}/none/seed0") for name in settings]

    before = runs()
    for changes, same in (
        ({"degradation": {"usm": False}}, (True, False, True)),
        ({"degradation": {"second": {"jpeg_quality": [10, 20]}}}, (True, False, True)),
        ({"degradation": {"bicubic": "pil"}}, (False, True, True)),
        ({"degradation": {"group": 3}}, (True, False, False)),  # windows drawn at once
        ({"pairs": {"shuffle_pool": 3}}, (True, True, True)),  # of pairs online
        ({"pairs": {"count": 99}}, (False, False, False)),
    ):
        assert tuple(a == b for a, b in zip(before, runs(**changes), strict=True)) == same


def test_images_of_ones_own_folders_are_parameters(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name and content: another image changes the key, a touched one does not."""
    monkeypatch.chdir(tmp_path)
    own = {"source": "folder", "folder": "photos"}
    made = plan(root, overrides={"test_sets": {"mine": own}, "training_images": own})
    assert folder_key(*made.own_images("photos")) == folder_key(None) == ""
    folder, _ = made.own_images("mine")
    assert folder == made.own_images("training")[0] == Path("photos")
    assert folder_key(folder) == "unreadable"
    folder.mkdir()
    for name in ("a{b}.png", "sp ace.jpg", "notes.txt"):
        (folder / name).write_text(name)
    first = folder_key(folder)
    os.utime(folder / "a{b}.png", (1, 1))
    (folder / "notes.txt").write_text("other notes")
    assert folder_key(folder) == first
    (folder / "a{b}.png").write_text("other")
    second = folder_key(folder)
    (folder / "a{b}.png").rename(folder / "c.png")
    assert len({first, second, folder_key(folder)}) == 3


def test_runs_of_a_batch_see_the_same_pairs(root: Path) -> None:
    hour = plan(root, scale="hour", overrides={"seeds": [0, 1]})
    assert hour.scale.runs_per_job["srresnet"] == 4
    assert set(hour.batches) == set(hour.trained_runs)
    assert sum(1 / len(batch) for batch in hour.batches.values()) < len(hour.trained_runs) / 3
    for run, batch in hour.batches.items():
        assert run in batch
        assert len(batch) <= (4 if run.startswith("srresnet") else 1)
        for other in batch:
            assert other.split("/")[::3] == run.split("/")[::3]
            assert other.split("/")[1] == run.split("/")[1]
            assert hour.run_settings(other).pairs == hour.run_settings(run).pairs
