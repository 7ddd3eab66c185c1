"""The configuration: what is accepted, what a mistake is told, and the generated pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reflash.core.errors import ReflashError
from reflash.study.checks import load_plan, load_plan_file
from reflash.study.config import evidence_of, merge
from reflash.study.documents import json_schema, readme

SCALES = ("benchmarks", "cpu", "cpu_no_usm", "cpu_tasks", "demo", "hour", "paper", "set5", "tiny")


def load_with(root: Path, **values: Any) -> Any:
    return load_plan(values, root / "config").resolved


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_complete(root: Path, scale: str) -> None:
    resolved = load_with(root, scale=scale)
    expected = {
        "paper": "paper",
        "set5": "paper",
        "hour": "fraction",
        "cpu": "fraction",
        "cpu_no_usm": "fraction",
    }
    assert resolved.scale.evidence == expected.get(scale, "none")
    assert resolved.scale_name == scale


@pytest.mark.parametrize(
    ("scale", "networks", "evidence", "sentence"),
    [
        ("demo", ["srresnet"], "none", ""),
        ("paper", ["srresnet", "rrdb", "srresnet_plain"], "paper", ""),
        (  # 20,000 of 500,000 iterations
            "hour",
            ["srresnet", "rrdb"],
            "fraction",
            "the paper's SRResNet and RRDB, 4 % of their training in iterations x batch x patch "
            "area",
        ),
        (  # 6,000 x 8 x 64^2 of 500,000 x 16 x 128^2, RRDB of 3 blocks
            "cpu",
            ["srresnet", "rrdb"],
            "fraction",
            "the paper's SRResNet, 0.15 % of its training in iterations x batch x patch area; "
            "RRDB smaller than the paper's",
        ),
        (
            "cpu",
            ["rrdb"],
            "fraction",
            "0.15 % of the paper's training in iterations x batch x patch area; RRDB smaller than "
            "the paper's",
        ),
        (
            "cpu",
            [],
            "fraction",
            "0.15 % of the paper's training in iterations x batch x patch area",
        ),
    ],
)
def test_evidence_names_the_networks_and_the_share_of_the_training(
    root: Path, scale: str, networks: list[str], evidence: str, sentence: str
) -> None:
    chosen = load_with(root, scale=scale).scale
    assert evidence_of(chosen, networks) == (evidence, sentence)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {"training": {"iterations": 100_000}},
            "the paper's SRResNet, 20 % of its training in iterations x batch x patch area",
        ),
        (
            {"networks": {"srresnet": {"features": 48}}},
            "100 % of the paper's training in iterations x batch x patch area; SRResNet smaller "
            "than the paper's",
        ),
    ],
)
def test_less_than_the_protocol_is_a_fraction(
    root: Path, overrides: dict[str, Any], sentence: str
) -> None:
    """An override does not leave captions that claim the paper's protocol."""
    chosen = load_with(root, scale="paper", overrides=overrides).scale
    assert evidence_of(chosen, ["srresnet"]) == ("fraction", sentence)


def test_every_scale_file_is_tested(root: Path) -> None:
    assert {path.stem for path in (root / "config/scale").glob("*.yaml")} == set(SCALES)


def test_paper_is_the_released_protocol(root: Path) -> None:
    """The numbers of the released configs, written here again."""
    scale = load_with(root, scale="paper").scale
    training = scale.training
    assert (training.iterations, training.batch, training.lr) == (500_000, 16, 2e-4)
    assert training.betas == (0.9, 0.99)
    assert training.ema == 0.999
    assert training.schedule.periods == (250_000, 500_000)
    assert training.schedule.eta_min == 0
    assert (scale.pairs.window, scale.pairs.patch, scale.pairs.crops) == (400, 128, 1)
    assert (scale.pairs.flips, scale.pairs.shuffle_pool) == ("horizontal", 16)
    assert scale.pairs.synthesis == "online"
    images = scale.training_images
    assert (images.names, images.sub_image, images.step) == (("DIV2K_train",), 480, 240)
    srresnet, rrdb = scale.networks["srresnet"], scale.networks["rrdb"]
    assert (srresnet.features, srresnet.blocks) == (64, 16)
    assert (rrdb.features, rrdb.blocks, rrdb.growth) == (64, 23, 32)
    assert list(scale.test_sets) == ["Set5", "Set14", "BSD100", "Manga109", "Urban100"]
    assert scale.degradation.usm
    assert (scale.degradation.draws, scale.degradation.group) == ("batch", 8)
    assert scale.evaluation.weights == "params"
    assert scale.benchmark.noise_sigma == 20


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scael": "demo"}, "config.yaml: scael: unknown key; did you mean 'scale'?"),
        ({"scale": "dmeo"}, "dmeo.yaml: no such file; there are: benchmarks, cpu"),
        ({"study": "x"}, "study/x.yaml: no such file; there are: "),
        (
            {"overrides": {"training": {"iteratoins": 3}}},
            "demo.yaml with overrides: training.iteratoins: unknown key; did you mean 'iterations'",
        ),
        (
            {"overrides": {"training": {"iterations": "many"}}},
            "training.iterations: input should be a valid integer",
        ),
        ({"overrides": {"training": {"ema": 1.5}}}, "training.ema: input should be less than 1"),
        (
            {"overrides": {"test_sets": {"Set6": {"source": "dataset", "name": "Set6"}}}},
            "did you mean Set5",
        ),
        (
            {"overrides": {"networks": {"srresnet": {"featurs": 8}}}},
            "featurs: unknown key; did you mean 'features'?",
        ),
        ({"overrides": {"pairs": {"patch": 200}}}, "patch 200 is larger than window 96"),
        (
            {"overrides": {"training_images": {"source": "dataset", "names": ["T91", "T91"]}}},
            "T91, T91: one is given twice",
        ),
        (
            {"overrides": {"training_images": {"source": "dataset", "names": ["Set5"]}}},
            ": Set5 is not meant for training",
        ),
        ({"overrides": {"networks": {"rrdb": None}}}, "scale demo has no network 'rrdb'"),
        ({"overrides": {"degradation": {"scale": 2}}}, "degradation.scale: 2, but training and"),
        ({"overrides": {"benchmark": {"scale": 2}}}, "benchmark.scale: 2, but training and"),
        (
            {"overrides": {"networks": {"srresnet": {"scale": 2}}}},
            "networks.srresnet.scale: 2, but training and",
        ),
        ({"overrides": {"analysis": {"set": "Set5"}}}, "analysis.set: 'Set5' is no test set"),
        (
            {"overrides": {"analysis": {"representation_set": "Set5"}}},
            "analysis.representation_set: 'Set5' is no test set",
        ),
        (
            {"overrides": {"analysis": {"layers": ["b5", "last"]}}},
            "analysis.layers: srresnet at scale demo has no layer 'b5'; it has first, b1",
        ),
        (
            {"overrides": {"analysis": {"layers": ["body"]}}},
            "figures.degradation_clusters.layer: 'last' is not among analysis.layers",
        ),
        (
            {"overrides": {"analysis": {"sensitivity_layer": "b17"}}},
            "analysis.sensitivity_layer: srresnet at scale demo has no layer 'b17'",
        ),
        (
            {"overrides": {"test_sets": {"validation": {"source": "sample_photos"}}}},
            "test_sets.validation: the name of the validation images",
        ),
        (
            {"overrides": {"training": {"betas": [1.0, 0.9]}}},
            "training.betas.0: input should be less than 1",
        ),
        (
            {
                "overrides": {
                    "training": {"schedule": {"kind": "cosine_restarts", "periods": [0, 10]}}
                }
            },
            "periods.0: input should be greater than or equal to 1",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_remedy(
    root: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReflashError) as raised:
        load_with(root, **values)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def study(root: Path, tmp_path: Path, **changes: Any) -> Any:
    """Load the demo scale with a study written for this test."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/scale").symlink_to(root / "config/scale")
    (tmp_path / "config/study").mkdir()
    values = {"title": "mine", "models": ["srresnet/multi/none"], **changes}
    (tmp_path / "config/study/mine.yaml").write_text(yaml.safe_dump(values))
    return load_plan({"study": "mine"}, tmp_path / "config").resolved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["srresnet/multi/last_conv-channel-p1"]}, "p is 1 but must lie"),
        ({"models": ["srresnet/multi/last_conv-channel-p-1"]}, "last_conv-channel-p-1"),
        ({"models": ["srresnet/multi/b17-channel-p0.1"]}, "no place is called 'b17'"),
        ({"models": ["srresnet/none"]}, "give network/setting/dropout"),
        (
            {"models": ["srresnet/blind/none"]},
            "setting 'blind' is not single, multi, denoise, dejpeg or deblur",
        ),
        ({"models": ["srresnett/multi/none"]}, "did you mean 'srresnet'?"),
        ({"models": ["rrdb/multi/half-channel-p0.1"]}, "rrdb has no dropout residual blocks"),
        ({"labels": {"rrdb/multi/none": "x"}}, "'rrdb/multi/none' is not a model of the study"),
        ({"figures": {"teaser_bars": {"set": "Set5"}}}, "test set 'Set5' is not one of scale demo"),
        ({"figures": {"teaser_bars": {"kinds": ["fog"]}}}, "figures.teaser_bars.kinds"),
        ({"modles": []}, "modles: unknown key; did you mean 'models'?"),
        ({"models": []}, "models: tuple should have at least 1 item"),
        ({"figures": {"visual_comparison": {"size": 98}}}, "multiple of 4"),
        (
            {"figures": {"dropout_placements": {"network": "srresnett"}}},
            "figures.dropout_placements.network: scale demo has no network 'srresnett'",
        ),
    ],
)
def test_a_mistake_in_a_study(
    root: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReflashError) as raised:
        study(root, tmp_path, **changes)
    assert message in str(raised.value)
    assert "mine.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_study_of_three_lines_declares_every_artefact(root: Path, tmp_path: Path) -> None:
    resolved = study(root, tmp_path)
    left_out = {name for name, v in dict(resolved.study.tables).items() if v is None}
    # A benchmark of this machine, not of the study; other regularisers than dropout; and a dataset
    # that must be asked for.
    assert left_out == {"cost", "regularisers", "seal"}
    left_out = {name for name, v in dict(resolved.study.figures).items() if v is None}
    assert left_out == {
        "regulariser_gains",
        "positions_single",
        "positions_multi",
        "probability",
        "real_world",
        "seal_distribution",
        "gain_anatomy",  # needs a model with dropout beside the same without
    }


def test_merge_replaces_a_mapping_of_another_form_and_removes_null() -> None:
    base = {"images": {"source": "dead_leaves", "count": 4}, "sets": {"a": {"x": 1}, "b": {"x": 2}}}
    changes = {"images": {"source": "folder", "folder": "x"}, "sets": {"a": None, "b": {"y": 3}}}
    assert merge(base, changes) == {
        "images": {"source": "folder", "folder": "x"},
        "sets": {"b": {"x": 2, "y": 3}},
    }
    assert base["sets"] == {"a": {"x": 1}, "b": {"x": 2}}


def test_null_as_snakemake_hands_it_over_removes(root: Path) -> None:
    own = {"source": "sample_photos", "crop": "null"}
    overrides = {"test_sets": {"photos": "null", "own": own}}
    assert list(load_with(root, overrides=overrides).scale.test_sets) == ["own"]


def test_a_scale_that_extends_itself_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "scale").mkdir()
    (tmp_path / "scale/a.yaml").write_text("extends: b\n")
    (tmp_path / "scale/b.yaml").write_text("extends: a\n")
    with pytest.raises(ReflashError, match="extends itself through a -> b"):
        load_plan({"scale": "a"}, tmp_path)


def test_generated_pages_are_in_step(root: Path) -> None:
    remedy = "run `make docs`"
    assert json.loads((root / "config/schema.json").read_text()) == json_schema(), remedy
    assert (root / "config/README.md").read_text() == readme(), remedy


def test_every_key_of_a_scale_is_in_the_table(root: Path) -> None:
    table = (root / "config/README.md").read_text()

    def check(values: dict[str, Any], prefix: str) -> None:
        for name, value in values.items():
            key = (
                f"{prefix}NAME"
                if prefix in ("networks.", "test_sets.", "runs_per_job.")
                else f"{prefix}{name}"
            )
            if name not in ("source", "kind", "name"):
                assert f"`{key}`" in table or key.endswith(".NAME"), key
                if isinstance(value, dict):
                    check(value, f"{key}.")

    check(load_with(root).scale.model_dump(), "")


def test_the_config_file_is_valid(root: Path) -> None:
    resolved = load_plan_file(root / "config/config.yaml").resolved
    assert (resolved.study_name, resolved.scale_name) == ("short", "demo")


@pytest.mark.parametrize("name", ["my set", "..", "a/b", "", "-x", "ünicode", "a{b}", "x" * 81])
def test_names_that_are_also_folders_are_refused(root: Path, name: str) -> None:
    """A test set, network, scale or study is also a folder and a word of a command."""
    photos = {"source": "sample_photos"}
    for values in (
        {"overrides": {"test_sets": {name: photos}}},
        {"overrides": {"networks": {name: {"name": "srresnet"}}}},
        {"scale": name},
        {"study": name},
    ):
        with pytest.raises(ReflashError, match="is also the name of a folder") as raised:
            load_with(root, **values)
        assert "\n" not in str(raised.value)
