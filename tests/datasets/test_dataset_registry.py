"""The registry of named datasets, and the settings that refer to it."""

from __future__ import annotations

import csv
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from reflash.core.errors import ReflashError
from reflash.datasets.registry import ArchiveSource, GithubSource, find, registry, shipped_manifests
from reflash.datasets.settings import (
    DatasetTestSettings,
    DatasetTrainingSettings,
    DeadLeavesSettings,
    FolderTestSettings,
    FolderTrainingSettings,
    SamplePhotosSettings,
    TestSetSettings,
    TrainingImagesSettings,
)
from reflash.datasets.table import print_datasets

TRAINING: TypeAdapter[Any] = TypeAdapter(TrainingImagesSettings)
TEST: TypeAdapter[Any] = TypeAdapter(TestSetSettings)


@pytest.mark.parametrize("name", registry())
def test_manifests_have_as_many_images_as_the_dataset(name: str) -> None:
    dataset = find(name)
    manifests = shipped_manifests(name)
    first = next(iter(manifests.values()), None) if dataset.folders else None
    for manifest in manifests.values():
        # Of Set14_SE every fifth degradation alone is taken as well.
        part = 5 if dataset.folders and manifest is not first else 1
        assert len(manifest) == dataset.images // part
        assert not {entry.name for entry in manifest} & set(dataset.exclude)


def test_no_training_set_shares_an_image_with_a_test_set() -> None:
    def pixels(split: str) -> dict[str, str]:
        return {
            entry.sha256_rgb8: f"{name}/{entry.name}"
            for name, dataset in registry().items()
            if dataset.split == split
            for manifest in shipped_manifests(name).values()
            for entry in manifest
        }

    assert not pixels("train").keys() & pixels("test").keys()


def test_the_leaking_image_is_excluded() -> None:
    assert find("BSDS500_train").exclude == ("302003",)


def test_sources_are_pinned_and_manga109_is_never_downloaded() -> None:
    assert {source.kind for source in find("Manga109").sources} == {"manual"}
    for dataset in registry().values():
        for source in dataset.sources:
            if isinstance(source, ArchiveSource) and not dataset.manifests:
                assert source.sha256 or source.md5
    (div2k,) = find("DIV2K_train").sources
    assert isinstance(div2k, ArchiveSource)
    assert div2k.bytes == 3530603713
    assert div2k.sha256 is not None
    assert not div2k.sha256.startswith(div2k.md5 or "")


def test_address_of_a_raw_file() -> None:
    source = find("BSD100").sources[0]
    assert isinstance(source, GithubSource)
    assert source.address("101085") == (
        "https://raw.githubusercontent.com/BIDS/BSDS500/"
        "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722/BSDS500/data/images/val/101085.jpg"
    )


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ReflashError, match="div2k_trian: no such dataset; did you mean DIV2K_train"
    ):
        find("div2k_trian")
    with pytest.raises(ReflashError, match="xyz: no such dataset; known are DIV2K_train, "):
        find("xyz")


def test_training_sources_are_told_apart() -> None:
    released = TRAINING.validate_python({"source": "dataset"})
    assert released == DatasetTrainingSettings()
    assert (released.names, released.sub_image, released.step) == (("DIV2K_train",), 480, 240)
    leaves = TRAINING.validate_python({"source": "dead_leaves", "count": 3})
    assert isinstance(leaves, DeadLeavesSettings)
    assert leaves.sub_image is None
    folder = TRAINING.validate_python({"source": "folder", "folder": "my", "sub_image": None})
    assert isinstance(folder, FolderTrainingSettings)
    assert folder.sub_image is None


def test_test_sources_are_told_apart() -> None:
    photos = TEST.validate_python({"source": "sample_photos", "limit": 2, "crop": 96})
    assert photos == SamplePhotosSettings(limit=2, crop=96)
    assert isinstance(TEST.validate_python({"source": "folder", "folder": "x"}), FolderTestSettings)
    named = TEST.validate_python({"source": "dataset", "name": "Set5"})
    assert named == DatasetTestSettings(name="Set5")
    assert (named.limit, named.crop) == (None, None)


@pytest.mark.parametrize(
    ("adapter", "value", "message"),
    [
        (TRAINING, {"source": "internet"}, "'dead_leaves', 'dataset', 'folder'"),
        (TRAINING, {"source": "dataset", "count": 3}, "count\n *Extra inputs are not permitted"),
        (TRAINING, {"source": "dataset", "names": ["DIV2K_tran"]}, "did you mean DIV2K_train"),
        (TRAINING, {"source": "dataset", "names": ["T91", "Set5"]}, "Set5 is not meant for train"),
        (TRAINING, {"source": "dataset", "names": []}, "at least 1 item"),
        (TRAINING, {"source": "folder"}, "folder\n *Field required"),
        (TRAINING, {"source": "dead_leaves", "step": 0}, "step"),
        (TEST, {"source": "dataset", "name": "set5"}, "did you mean Set5"),
        (TEST, {"source": "dataset", "name": "RealSRSet"}, "RealSRSet has no HR images"),
        (TEST, {"source": "sample_photos", "limit": 0}, "limit"),
    ],
)
def test_a_mistake_is_one_error(adapter: TypeAdapter[Any], value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        adapter.validate_python(value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("name", registry())
def test_terms_are_one_sentence_and_the_size_is_that_of_the_first_manifest(name: str) -> None:
    dataset = find(name)
    assert dataset.terms.endswith(".")
    assert "\n" not in dataset.terms
    folder = resources.files("reflash.datasets").joinpath("manifests")
    if dataset.manifests:
        text = folder.joinpath(f"{dataset.manifests[0]}.csv").read_text("utf-8")
        assert dataset.bytes == sum(int(row["bytes"]) for row in csv.DictReader(text.splitlines()))


def test_only_sets_that_may_be_passed_on_need_no_consent() -> None:
    free = {name for name, dataset in registry().items() if not dataset.accept_terms}
    assert free == {"Photos2K", "Kodak24"}


def test_sets_have_a_second_source_where_one_is_known() -> None:
    for name in ("Flickr2K", "Set5", "Set14", "BSD100", "Urban100"):
        assert len(find(name).sources) >= 2


def test_the_list_is_aligned_and_says_what_is_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "Set5").mkdir()
    (tmp_path / "Set5" / "manifest.csv").touch()
    (tmp_path / ".Set14.incoming").mkdir()
    print_datasets(tmp_path)
    head, *rows, note = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "images", "size", "split", "here", "terms"]
    assert len(rows) == len(registry())
    here = {row.split()[0]: row[head.index("here") :].split()[0] for row in rows}
    assert (here["Set5"], here["Set14"], here["T91"]) == ("yes", "unfinished", "no")
    for row, (name, dataset) in zip(rows, registry().items(), strict=True):
        assert row.startswith(name)
        assert row[head.index("terms") :].startswith(dataset.terms)
        end = head.index("images") + len("images")
        assert row[:end].endswith(str(dataset.images))
    assert "--accept-terms" in note


def test_the_origin_of_every_photograph_is_known(root: Path) -> None:
    """And the sizes are those of the recipe: half, or a longest side of 2040 pixels."""
    with (root / "docs/photos2k.csv").open(newline="", encoding="utf-8") as file:
        rows = {Path(row["file"]).stem: row for row in csv.DictReader(file)}
    (manifest,) = shipped_manifests("Photos2K").values()
    assert set(rows) == {entry.name for entry in manifest}
    for entry in manifest:
        row = rows[entry.name]
        longest = max(map(int, row["original_size"].split("x")))
        assert abs(max(entry.width, entry.height) - min(2040, longest / 2)) <= 1, entry.name
        assert re.fullmatch("[0-9a-f]{40}", row["git_blob"])
        assert row["repository"]
        assert row["path"]
        assert row["licence"]
