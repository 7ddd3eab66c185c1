"""The commands ``reflash data ...`` as people type them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import toy_set
import yaml
from web_server import Reply, WebServer

from reflash.cli.app import main
from reflash.datasets.images import list_images
from reflash.datasets.registry import Dataset


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["data", *(str(argument) for argument in arguments)])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REFLASH_MIRROR", "REFLASH_ACCEPT_TERMS"):
        monkeypatch.delenv(variable, raising=False)


def test_fetch_and_verify_from_a_mirror(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("Set5", "Set14", "BSD100")
    assert run("fetch", *names, "--source", mirror, "--raw", tmp_path) == 0
    assert run("verify", *names, "--raw", tmp_path) == 0
    assert "Set5, Set14, BSD100: all images verified" in capsys.readouterr().out
    path = list_images(tmp_path / "Set14")[3]
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)
    assert run("verify", *names, "--raw", tmp_path) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{path}: ")
    assert last.startswith("error: 1 problem in ")
    assert run("fetch", "Set14", "--source", mirror, "--raw", tmp_path) == 0
    assert run("verify", *names, "--raw", tmp_path) == 0


def test_the_environment_names_mirror_and_consent(
    server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = toy_set.make_images(tmp_path / "images")
    for path in list_images(images):
        server.replies[f"/Toy/{path.name}"] = Reply(path.read_bytes())
    manual = {"kind": "manual", "instructions": "ask"}
    toy_set.install(images, [manual], monkeypatch.setattr, accept_terms=True)
    monkeypatch.setattr("reflash.datasets.registry.find", lambda name: None)
    monkeypatch.setenv("REFLASH_MIRROR", server.url)
    assert run("fetch", "Toy", "--raw", tmp_path / "raw") == 1
    assert server.seen == []
    monkeypatch.setenv("REFLASH_ACCEPT_TERMS", "1")
    assert run("fetch", "Toy", "--raw", tmp_path / "raw") == 0
    assert run("verify", "Toy", "--raw", tmp_path / "raw") == 0


def test_an_unknown_name_stops_before_anything_is_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fetch", "Set5", "Set41", "--source", tmp_path, "--raw", tmp_path / "raw") == 1
    assert "did you mean Set14" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_manga109_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fetch", "Manga109", "--raw", tmp_path, "--accept-terms") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Manga109: is never downloaded; ask for Manga109 at https://")
    assert line.endswith("reflash data fetch Manga109 --source FOLDER")


def test_the_example_of_an_own_set_is_valid(root: Path) -> None:
    text = (root / "docs" / "data.md").read_text("utf-8")
    block = text.split("```yaml\n")[1].split("```")[0].replace("...", "a" * 64)
    ((name, values),) = yaml.safe_load(block).items()
    assert name == "MySet"
    assert len(block.splitlines()) == 5
    assert Dataset.model_validate(values).sources[0].kind == "archive"


def test_the_documented_sets_are_those_of_the_registry(root: Path) -> None:
    from reflash.datasets.registry import registry

    text = (root / "docs" / "data.md").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    documented = {row[0][2:]: int(row[1]) for row in rows if len(row) == 6 and row[1].isdigit()}
    assert documented == {name: dataset.images for name, dataset in registry().items()}


def test_a_set_by_hand_in_its_place_is_recognised(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from reflash.datasets.registry import shipped_manifests

    shutil.copytree(mirror / "test" / "Set14", tmp_path / "Set14")
    (tmp_path / "Set14" / "manifest.csv").unlink(missing_ok=True)
    assert run("fetch", "Set14", "--raw", tmp_path) == 0
    assert "terms" not in capsys.readouterr().err
    assert len(list_images(tmp_path / "Set14")) == len(shipped_manifests("Set14")["Set14"])
