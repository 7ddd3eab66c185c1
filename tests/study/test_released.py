"""The authors' weights: what is imported, what is refused, and what a study makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from reflash.core.errors import ReflashError
from reflash.datasets import public_weights
from reflash.models.build import build_network
from reflash.models.foreign import to_authors
from reflash.models.settings import RRDBSettings, SRResNetSettings
from reflash.models.weights import load_network
from reflash.study import config, released
from reflash.study.checks import check_released, load_plan
from reflash.study.config import RELEASED
from reflash.study.inputs import needed_files
from reflash.study.released import import_weights, released_model

SMALL = {
    "srresnet": ("SRResNet", SRResNetSettings(features=8, blocks=16)),
    "rrdb": ("RRDB", RRDBSettings(features=8, blocks=1, growth=4)),
}


def stand_in(path: Path, network: str, seed: int) -> Path:
    """Write seeded weights of a network of `SMALL` as the authors' files hold them."""
    torch.manual_seed(seed)
    raw = to_authors(build_network(SMALL[network][1]).state_dict())
    torch.save({"params": raw, "params_ema": {k: v / 2 for k, v in raw.items()}}, path)
    return path


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    """A folder with the four files."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "read me.txt").write_text("four files")
    names = ("Real-SRResNet", "Real-SRResNet_dropout", "Real-RRDB_wo_dropout", "RRDB_withdropout")
    for seed, name in enumerate(names):
        stand_in(folder / f"{name}.pth", "srresnet" if seed < 2 else "rrdb", seed)
    return folder


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project whose paper has small networks."""
    folder = tmp_path / "project"
    shutil.copytree(root / "config", folder / "config")
    monkeypatch.chdir(folder)
    for module in (config, released):
        monkeypatch.setattr(module, "PAPER_NETWORKS", SMALL)
    return folder


def test_a_folder_is_imported_whole(authors: Path, project: Path) -> None:
    lines = import_weights(authors)
    assert [line.split(":")[0] for line in lines] == list(RELEASED)
    for model, path in zip(RELEASED, sorted(authors.glob("*.pth")), strict=False):
        folder = Path("data/weights/released", model)
        record = json.loads((folder / "params.json").read_text())
        source = authors / record["file"]
        assert record["sha256"] == public_weights.file_hash(source)
        assert record["model"] == model
        for which in ("params", "params_ema"):
            there = torch.load(source)[which]["conv_last.weight"]
            network = load_network(folder / f"{which}.safetensors")
            assert torch.equal(network.state_dict()["conv_last.weight"], there), path
        dropout = [m for m in network.modules() if isinstance(m, torch.nn.Dropout2d)]
        assert [m.p for m in dropout] == ([] if model.endswith("none") else [float(model[-3:])])
    check_released(load_plan({"study": "main", "scale": "set5", "weights": "released"}))


def test_a_file_that_is_not_what_its_name_says(
    authors: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    srresnet, rrdb = authors / "Real-SRResNet.pth", authors / "RRDB_withdropout.pth"
    with pytest.raises(ReflashError, match="another architecture than rrdb with 8 features and 1"):
        import_weights(srresnet, "rrdb/multi/none")
    with pytest.raises(ReflashError, match="another architecture than srresnet with 8 features"):
        import_weights(rrdb, "srresnet/multi/none")
    wide = to_authors(build_network(SRResNetSettings(features=9, blocks=16)).state_dict())
    torch.save({"params": wide}, authors / "wide.pth")
    with pytest.raises(ReflashError, match="conv_first.weight has shape 9 x 3 x 3 x 3 but the net"):
        import_weights(authors / "wide.pth", "srresnet/multi/none")
    assert not Path("data").exists()

    import_weights(rrdb, "rrdb/multi/last_conv-channel-p0.5")
    with pytest.raises(ReflashError, match="was imported as rrdb/multi/last_conv-channel-p0.5"):
        import_weights(rrdb, "rrdb/multi/none")
    import_weights(rrdb, "rrdb/multi/last_conv-channel-p.5")  # again, in another spelling
    other = authors / "Real-RRDB_wo_dropout.pth"
    source = {"url": "https://host/x.pth", "sha256": public_weights.file_hash(other)}
    known = public_weights.find_weights("RealESRNet_x4plus").model_copy(
        update={"sources": (public_weights.WeightsSource.model_validate(source),)}
    )
    monkeypatch.setattr(released, "weights_registry", lambda: {"RealESRNet_x4plus": known})
    with pytest.raises(ReflashError, match="is RealESRNet_x4plus, not the authors' weights"):
        import_weights(other, "rrdb/multi/none")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nowhere",), "nowhere: no such file or folder"),
        (("", "rrdb/single/none"), "rrdb/single/none: was not released; models are srresnet/mul"),
        (("", "rrdb/multi/none"), "is a folder; leave the model out"),
        (("read me.txt",), "not a PyTorch or safetensors file"),
    ],
)
def test_mistakes_are_one_line(
    authors: Path, project: Path, arguments: tuple[str, ...], line: str
) -> None:
    with pytest.raises(ReflashError, match=line):
        import_weights(authors / arguments[0], *arguments[1:])


def test_two_files_of_one_kind_cannot_be_told_apart(authors: Path, project: Path) -> None:
    shutil.copy(authors / "Real-SRResNet.pth", authors / "Real-SRResNet (1).pth")
    with pytest.raises(ReflashError, match="import each with its model"):
        import_weights(authors)
    empty = authors / "empty"
    empty.mkdir()
    with pytest.raises(ReflashError, match="holds no .pth"):
        import_weights(empty)


@pytest.mark.parametrize(
    ("name", "dropout"),
    [
        ("net_wdropout", True),
        ("RRDB+Dropout", True),
        ("net_wodropout", False),
        ("net wo dropout", False),
        ("no-dropout", False),
        ("without_dropout", False),
        ("plain", False),
    ],
)
def test_dropout_is_found_from_the_name(authors: Path, name: str, dropout: bool) -> None:
    path = authors / f"{name}.pth"
    shutil.copy(authors / "RRDB_withdropout.pth", path)
    assert released_model(path) == RELEASED[2 + dropout]


def test_a_changed_or_missing_file_stops_planning(authors: Path, project: Path) -> None:
    import_weights(authors)
    plan = load_plan({"study": "main", "scale": "set5", "weights": "released"})
    check_released(plan)
    path = Path("data/weights/released/rrdb/multi/none/params.safetensors")
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ReflashError, match="is not what was imported, by its record; run: reflash"):
        check_released(plan)
    path.unlink()
    with pytest.raises(ReflashError, match="missing, but weights are `released`; run: reflash wei"):
        check_released(plan)


def test_a_study_shows_what_was_released_and_asks_for_nothing_else(project: Path) -> None:
    paper = load_plan({"study": "paper", "scale": "set5", "weights": "released"})
    assert paper.models == RELEASED
    assert paper.released_runs == paper.all_runs
    assert paper.trained_runs == []
    left_out = {"training_curves", "positions_single", "positions_multi", "probability"}
    assert not left_out & set(paper.artefacts("figures"))
    assert {"teaser_bars", "visual_comparison", "saliency_maps"} < set(paper.artefacts("figures"))
    assert {"multi_degradation", "dropout_grid", "chi", "claims"} < set(paper.artefacts("tables"))
    needed = needed_files(paper)
    assert not [f for f in needed if "log.csv" in f or "train" in f or "validation" in f]
    assert all("/released/" in f for f in needed if f.startswith("results/"))
    trained = load_plan({"study": "paper", "scale": "set5"})
    assert not {f for f in needed_files(trained) if f.startswith("results/")} & set(needed)
    context = paper.context(paper.models)
    assert context.evidence == "paper"
    assert "released weights" in context.description
    tiny = load_plan({"study": "paper", "scale": "tiny", "weights": "released"})
    assert tiny.context(tiny.models).evidence == "none"
    Path("config/study/mine.yaml").write_text("title: Mine\nmodels: [srresnet/single/none]\n")
    with pytest.raises(ReflashError, match="mine.yaml: models: the authors released none of them"):
        load_plan({"study": "mine", "scale": "tiny", "weights": "released"})
