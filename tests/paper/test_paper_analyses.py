"""Analyses are read by run, and what cannot be compared is named."""

from __future__ import annotations

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.analyses import (
    find_layer,
    read_analysis,
    read_classifier,
    read_maps,
)
from reflash.paper.scores import same_images

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
COLUMNS = "run,image,layer,gini"


def rows(*runs, images=("a", "b")):
    return [(run, image, "last", 0.5) for run in runs for image in images]


def read(paths, context):
    return read_analysis(paths, context, "saliency", ("image", "layer"), ("gini",))


def test_runs_are_split_ordered_and_chosen(make_context, write_rows):
    context = make_context(seeds=(0, 12))
    paths = [
        write_rows("one", COLUMNS, rows(f"{DROPPED}/seed12", f"{PLAIN}/seed0", "other/seed0")),
        write_rows("two", COLUMNS, rows(f"{PLAIN}/seed12", f"{DROPPED}/seed0")),
    ]
    table = read(paths, context)
    found = list(dict.fromkeys(zip(table["model"], table["seed"], strict=True)))
    assert found == [(PLAIN, 0), (PLAIN, 12), (DROPPED, 0), (DROPPED, 12)]
    assert list(table.columns) == ["model", "seed", "image", "layer", "gini"]


def test_missing_run_is_named_unless_some_will_do(make_context, write_rows):
    path = write_rows("one", COLUMNS, rows(f"{PLAIN}/seed0"))
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0: not among .* reflash saliency"):
        read([path], make_context())
    keys = ("image", "layer")
    table = read_analysis([path], make_context(), "saliency", keys, ("gini",), every=False)
    assert set(table["model"]) == {PLAIN}


def test_run_given_twice_is_named(make_context, write_rows):
    path = write_rows("one", COLUMNS, rows(f"{PLAIN}/seed0"))
    with pytest.raises(ReflashError, match=rf"{PLAIN}/seed0 \(a/last\) was given before"):
        read([path, path], make_context())


@pytest.mark.parametrize("value", ["high", "", "inf"])
def test_other_than_numbers_is_named(make_context, write_rows, value):
    path = write_rows("one", COLUMNS, [(f"{PLAIN}/seed0", "a", "last", value)])
    with pytest.raises(ReflashError, match=r"one\.csv: column 'gini' contains non-numeric values"):
        read([path], make_context())


def test_no_file_is_named(make_context):
    with pytest.raises(ReflashError, match="saliency: no file is given"):
        read([], make_context())


def test_other_images_are_named(make_context, write_rows):
    both = rows(f"{PLAIN}/seed0") + rows(f"{DROPPED}/seed0", images=("a", "c"))
    table = read([write_rows("one", COLUMNS, both)], make_context())
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0: .* other images .* b;"):
        same_images(table)


@pytest.mark.parametrize(
    ("layer", "blocks", "network_layer"),
    [("b8", 16, "b8"), ("b8", 23, "b12"), ("b8", 3, "b2"), ("b16", 3, "b3"), ("last", 3, "last")],
)
def test_layers_count_in_sixteenths(layer, blocks, network_layer):
    layers_had = ["first", *(f"b{n + 1}" for n in range(blocks)), "hr", "last"]
    assert find_layer(layer, layers_had, "model") == network_layer


def test_layer_that_is_not_there_is_named():
    with pytest.raises(ReflashError, match="model x: has no layer 'hr'; it has b1, last"):
        find_layer("hr", ["b1", "last"], "model x")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    for number, image in enumerate(("bee", "ant")):
        maps = {"first": np.ones((2, 3, 4)), "b1": np.full((2, 3, 4), number), "last": np.eye(3)}
        np.savez(folder / f"{image}.npz", **maps)
    return folder


def test_first_image_and_chosen_layers_are_read(folder):
    image, maps = read_maps({PLAIN: folder}, PLAIN, None, ("b16", "first"), "remedy")
    assert image == "ant"
    assert list(maps) == ["b16", "first"]
    np.testing.assert_array_equal(maps["b16"], np.ones((2, 3, 4)))


def test_chosen_image_is_read(folder):
    _, maps = read_maps({PLAIN: folder}, PLAIN, "bee", ("b1",), "remedy")
    assert maps["b1"].max() == 0


@pytest.mark.parametrize(
    ("folders", "image", "layers", "complaint"),
    [
        ({PLAIN: "nowhere"}, None, ("b1",), "nowhere: no such folder; remedy"),
        (None, "cat", ("b1",), r"cat\.npz: no such file; remedy"),
        (None, None, ("hr",), r"ant\.npz: has no layer 'hr'"),
        (None, None, ("last",), r"ant\.npz: layer 'last' is not maps"),
    ],
)
def test_unusable_maps_are_named(folder, folders, image, layers, complaint):
    given = {PLAIN: folder} if folders is None else folders
    with pytest.raises(ReflashError, match=complaint):
        read_maps(given, PLAIN, image, layers, "remedy")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_broken_archive_is_named(folder, content):
    (folder / "ant.npz").write_bytes(content)
    with pytest.raises(ReflashError, match=r"ant\.npz: cannot be read as arrays; remedy"):
        read_maps({PLAIN: folder}, PLAIN, None, ("b1",), "remedy")


def test_empty_folder_is_named(tmp_path):
    with pytest.raises(ReflashError, match=r"contains no IMAGE\.npz; remedy"):
        read_maps({PLAIN: tmp_path}, PLAIN, None, ("b1",), "remedy")


SENSITIVITY = "task,model,ratio,draw,metric,value"


def test_classifier_is_read_once(write_rows):
    own = [("classification", "digits_cnn", r, 0, "accuracy", 1 - r) for r in (0.0, 0.5)]
    paths = [write_rows(name, SENSITIVITY, own) for name in ("one", "two")]
    table = read_classifier(paths)
    assert table["value"].tolist() == [1.0, 0.5]


def test_different_classifiers_are_refused(write_rows):
    paths = [
        write_rows(name, SENSITIVITY, [("classification", "digits_cnn", 0.0, 0, "accuracy", value)])
        for name, value in (("one", 0.9), ("two", 0.8))
    ]
    with pytest.raises(ReflashError, match=r"one\.csv: and the other files hold different"):
        read_classifier(paths)
