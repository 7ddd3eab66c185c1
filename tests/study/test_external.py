"""External networks and networks of one's own in the plan of a study."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from reflash.core.errors import ReflashError
from reflash.study.checks import check_images, check_published, load_plan
from reflash.study.inputs import evaluation_files, files_read
from reflash.study.plan import Plan
from reflash.study.workflow import external_key

ROOT = Path(__file__).parents[2]
MODELS = ["external/plus", "external/mine", "srresnet/multi/none"]
EXTERNAL = {
    "plus": {"weights": "plus.pth", "label": "x4plus"},
    "mine": {"weights": "mine.pth", "key": "params_ema", "factory": "mynet.py:build"},
}
FACTORY = "from torch import nn\n\n\ndef build():\n    return nn.Upsample(scale_factor=4)\n"


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with the files that studies of this test name."""
    shutil.copytree(root / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    for name in ("plus.pth", "mine.pth"):
        torch.save({"a": torch.zeros(1)}, name)
    Path("mynet.py").write_text(FACTORY)
    return tmp_path


def plan(models: list[str] = MODELS, external: Any = EXTERNAL, **values: Any) -> Plan:
    more = {key: values.pop(key) for key in ("labels", "tables", "figures") if key in values}
    study = {"title": "Zoo", "models": models, "external": external, **more}
    Path("config/study/zoo.yaml").write_text(yaml.safe_dump(study))
    return load_plan({"study": "zoo", "scale": "tiny", **values})


def test_one_run_whatever_the_seeds(project: Path) -> None:
    three = plan(overrides={"seeds": [3, 4, 5]})
    assert three.runs("external/plus") == ["external/plus/seed3"]
    assert three.runs("srresnet/multi/none")[1:] == [f"{MODELS[2]}/seed{n}" for n in (4, 5)]
    context = three.context(three.models)
    assert context.runs == tuple(three.all_runs)
    assert three.trained_runs == three.runs(MODELS[2])


def test_names_shown(project: Path) -> None:
    labels = plan(labels={"external/mine": "My net"}).main_labels
    assert labels["external/plus"] == "x4plus"
    assert labels["external/mine"] == "My net"
    assert plan().main_labels["external/mine"] == "mine"


def test_what_commands_are_given(project: Path) -> None:
    zoo = plan()
    plus, mine = (zoo.external(f"external/{name}/seed0") for name in ("plus", "mine"))
    assert plus is not None
    assert mine is not None
    assert plus.text == "plus.pth"
    given = yaml.safe_load(mine.text)
    assert given == {"weights": "mine.pth", "key": "params_ema", "factory": "mynet.py:build"}
    assert zoo.external("srresnet/multi/none/seed0") is None


def test_everything_but_training_shows_them(project: Path) -> None:
    zoo = plan()
    for kind in ("tables", "figures"):
        for name in zoo.artefacts(kind):
            shown = zoo.artefact_models(name, kind)
            outside = name in ("claims", "training_curves") or not shown
            assert ("external/plus" in shown) != outside, name
    runs = "results/tiny/runs/external/plus/seed0"
    assert f"{runs}/evaluation/photos.csv" in evaluation_files(zoo)
    assert f"{runs}/analysis/saliency.csv" in files_read(zoo, "figures", "saliency_maps")["maps"]
    assert not any("external" in file for file in files_read(zoo, "claims")["evaluations"])


def test_a_study_of_external_networks_alone_trains_nothing(project: Path) -> None:
    zoo = plan(MODELS[:2])
    assert not zoo.trained_runs
    assert not {"claims", "training_curves"} & {*zoo.artefacts("tables"), *zoo.artefacts("figures")}
    assert zoo.claim_needs == ()
    check_published(zoo)
    tiny = plan(
        MODELS[:2], overrides={"training_images": {"source": "dataset", "names": ["DIV2K_train"]}}
    )
    check_images(tiny)  # images that nothing is trained on need not be there


def test_its_key_is_the_content_not_the_time(project: Path) -> None:
    zoo = plan()
    keys = {name: external_key(zoo, f"external/{name}/seed0") for name in ("plus", "mine")}
    assert external_key(zoo, "srresnet/multi/none/seed0") == ""
    os.utime("plus.pth", (1, 1))
    assert external_key(zoo, "external/plus/seed0") == keys["plus"]
    torch.save({"a": torch.ones(1)}, "plus.pth")
    assert external_key(zoo, "external/plus/seed0") != keys["plus"]
    Path("mynet.py").write_text(FACTORY.replace("4", "2"))
    assert external_key(zoo, "external/mine/seed0") != keys["mine"]


def test_public_weights_are_fetched_by_the_workflow(project: Path) -> None:
    path = "data/weights/RealESRNet_x4plus.safetensors"
    zoo = plan(["external/net"], {"net": {"weights": path}})
    key = external_key(zoo, "external/net/seed0")
    assert zoo.main_labels["external/net"] == "Real-ESRNet"
    Path(path).parent.mkdir(parents=True)
    Path(path).write_bytes(b"whichever source had it")
    assert external_key(zoo, "external/net/seed0") == key
    with pytest.raises(ReflashError, match="RealESRNet.safetensors: no such file"):
        plan(["external/net"], {"net": {"weights": "data/weights/RealESRNet.safetensors"}})
    shipped = load_plan({"study": "zoo", "scale": "tiny"}, ROOT / "config")
    assert [shipped.public_weights(run) is None for run in shipped.all_runs] == [True] * 4 + [
        False
    ] * 2


@pytest.mark.parametrize(
    ("models", "external", "line"),
    [
        (["external/x4"], EXTERNAL, "model 'external/x4': not under the key external; use one of"),
        (["external/x4"], {}, "model 'external/x4': not under the key external; add it"),
        (["external/a/b"], EXTERNAL, "give external/NAME"),
        (MODELS, {"plus": {"weights": "no.pth"}, "mine": EXTERNAL["mine"]},
         "zoo.yaml: external.plus.weights: no.pth: no such file; correct its path"),
        (MODELS, {**EXTERNAL, "plus": {"factory": "no.py:build"}},
         "zoo.yaml: external.plus.factory: no.py"),
        (MODELS, {**EXTERNAL, "plus": {}}, "external.plus: weights: missing; name a weights file"),
        (MODELS, {**EXTERNAL, "plus": {"weight": "a.pth"}},
         "external.plus.weight: unknown key; did you mean 'weights'"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    project: Path, models: list[str], external: dict[str, Any], line: str
) -> None:
    with pytest.raises(ReflashError, match=line):
        plan(models, external)


def own(**network: Any) -> dict[str, Any]:
    return {"networks": {"mynet": {"factory": "mynet.py:build", **network}}}


def test_a_network_of_ones_own_is_planned_with_its_code(project: Path) -> None:
    models = [
        "mynet/multi/none",
        "mynet/multi/last_conv-channel-p0.5",
        "mynet/multi/tail-element-p0.2",
    ]
    run = "mynet/multi/last_conv-channel-p0.5/seed0"
    mine = plan(models, {}, overrides=own())
    settings = mine.run_settings(run)
    assert settings.network.name == "factory"
    assert settings.network.code
    Path("mynet.py").write_text(f"# a comment\n{FACTORY}")
    assert mine.run_settings(run) == settings
    Path("mynet.py").write_text(FACTORY.replace("4", "2 * 2"))
    assert mine.run_settings(run) != settings
    assert mine.trained_runs == mine.all_runs


@pytest.mark.parametrize(
    ("model", "network", "line"),
    [
        ("mynet/multi/b8-channel-p0.2", {}, "has no place 'b8'; write last_conv"),
        ("mynet/multi/none", {"factory": "no.py:build"}, "networks.mynet.factory: no.py"),
        ("mynet/multi/none", {"features": 3}, "networks.mynet.*features: unknown key"),
        ("srresnet/multi/tail-channel-p0.2", {}, "no place is called 'tail'; places are b1"),
    ],
)
def test_mistakes_with_a_network_of_ones_own(
    project: Path, model: str, network: dict[str, Any], line: str
) -> None:
    with pytest.raises(ReflashError, match=line):
        plan([model], {}, overrides=own(**network))


def test_external_is_no_name_for_a_network(project: Path) -> None:
    with pytest.raises(ReflashError, match="networks.external: the name of networks from else"):
        plan(overrides={"networks": {"external": {"name": "srresnet"}}})
