"""Representations: CHI by its formula, PCA against scikit-learn, features against plain passes."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA

from reflash.core.errors import ReflashError
from reflash.datasets.images import read_rgb
from reflash.interpretation import inputs, principal
from reflash.interpretation.paired import (
    by_chance,
    centred_products,
    paired_index,
    paired_separation,
    shuffled_kinds,
)
from reflash.interpretation.principal import FeatureFile, principal_components
from reflash.interpretation.representations import (
    compare_kinds,
    embed,
    run_representations,
    separation,
)
from reflash.interpretation.settings import AnalysisSettings
from reflash.models.weights import load_network

SETTINGS = AnalysisSettings(
    representation_crop=10, perplexity=5, pca=20, layers=("b1", "last"), kinds=("clean", "noise")
)


def groups(distance: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Forty samples of three kinds whose centres are ``distance`` apart, in 50 dimensions."""
    rng = np.random.default_rng(seed)
    labels = [("clean", "blur", "noise")[i % 3] for i in range(40)]
    centres = {"clean": 0, "blur": 1, "noise": 2}
    features = rng.normal(size=(40, 50))
    for row, label in zip(features, labels, strict=True):
        row[centres[label]] += distance
    return features.astype(np.float32), labels


@pytest.mark.parametrize("distance", [0.0, 1.0, 8.0])
def test_chi_is_its_formula(distance):
    features, labels = groups(distance)
    x, names = features.astype(float), np.array(labels)
    between = within = 0.0
    for kind in ("clean", "blur", "noise"):
        members = x[names == kind]
        centre = members.mean(0)
        between += len(members) * ((centre - x.mean(0)) ** 2).sum()
        within += ((members - centre) ** 2).sum()
    expected = (between / (3 - 1)) / (within / (len(x) - 3))
    assert separation(x, labels) == pytest.approx(expected, rel=1e-10)


def test_separate_kinds_have_a_larger_chi_than_mixed_ones():
    settings = AnalysisSettings(perplexity=8)
    values = []
    for distance in (0.0, 3.0, 12.0):
        features, labels = groups(distance)
        order = np.argsort(np.arange(39) % 3, kind="stable")  # kind by kind
        of_kinds = [labels[i] for i in order]
        values.append(compare_kinds(features[order], of_kinds, settings)[2])
    for space in ("pca", "tsne", "paired"):
        mixed, near, far = (value[space][0] for value in values)
        assert mixed < near < far
        assert all(0.5 < value[space][1] < 2 for value in values)  # by chance
    assert values[0]["pca"][0] < 2 < 20 < values[2]["pca"][0]


def test_components_are_those_of_scikit_learn(monkeypatch):
    features, _ = groups(5.0)
    expected = PCA(n_components=12, svd_solver="full").fit_transform(features.astype(float))
    for bytes_at_a_time in (principal.COLUMN_BYTES, 40 * 8 * 7):
        monkeypatch.setattr(principal, "COLUMN_BYTES", bytes_at_a_time)
        components = principal_components(features, 12)
        signs = np.sign((components * expected).sum(0))
        np.testing.assert_allclose(components * signs, expected, atol=1e-6)
        assert (components[np.abs(components).argmax(0), np.arange(12)] > 0).all()


def test_all_components_keep_all_distances():
    features, _ = groups(1.0)
    components = principal_components(features, 300)
    assert components.shape == (40, 39)

    def distances(x):
        return np.linalg.norm(x[:, None].astype(float) - x[None], axis=-1)

    np.testing.assert_allclose(distances(components), distances(features), atol=1e-5)


def test_feature_file_returns_what_was_written():
    rows = np.random.default_rng(0).normal(size=(7, 30)).astype(np.float32)
    with FeatureFile() as file:
        file.append(rows[:3])
        file.append(rows[3:])
        np.testing.assert_array_equal(file.matrix(), rows)


def test_embedding_is_seeded_and_bounded_by_the_samples():
    features, _ = groups(4.0)
    components = principal_components(features, 10)
    first = embed(components, 30, 0)
    assert first.shape == (40, 2)
    np.testing.assert_array_equal(first, embed(components, 30, 0))
    assert embed(components[:4], 30, 0).shape == (4, 2)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(first, embed(components, 10, 0))


def test_features_that_do_not_differ_are_refused():
    with pytest.raises(ReflashError, match="all the same or not finite"):
        compare_kinds(np.ones((8, 5), np.float32), ["clean", "blur"] * 4, AnalysisSettings())


def test_command_compares_the_features_of_centre_crops(weights, lr_folders, tmp_path, monkeypatch):
    folders = {kind: lr_folders[kind] for kind in ("clean", "blur", "noise")}
    monkeypatch.setattr(inputs, "MEMORY", 200_000)  # batches of four
    points, chi = run_representations(weights, folders, tmp_path, SETTINGS, run="r")

    network, rows = load_network(weights), {"b1": [], "last": []}
    for folder in folders.values():
        for name in "abc":
            image = read_rgb(folder / f"{name}.png")
            top, left = (image.shape[0] - 10) // 2, (image.shape[1] - 10) // 2
            lr = torch.from_numpy(image[top : top + 10, left : left + 10].copy())
            with torch.no_grad():
                layers = network.forward_features(lr.permute(2, 0, 1)[None].float() / 255)[1]
            for layer, of_layer in rows.items():
                of_layer.append(layers[layer].flatten().double().numpy())
    labels = [kind for kind in folders for _ in "abc"]

    written = pd.read_csv(tmp_path / "chi.csv")
    columns = ["run", "layer", "space", "chi", "images", "kinds", "components", "chance"]
    assert list(written.columns) == columns
    assert written[["layer", "space"]].to_numpy().tolist() == [
        ["b1", "pca"],
        ["b1", "tsne"],
        ["b1", "paired"],
        ["last", "pca"],
        ["last", "tsne"],
        ["last", "paired"],
    ]
    assert written["images"].tolist() == [3] * 6
    assert written["kinds"].tolist() == [3] * 6
    assert written["components"].tolist() == [8, 2, 8] * 2
    for layer, of_layer in rows.items():
        scores = PCA(8, svd_solver="full").fit_transform(np.stack(of_layer))
        of_pca, of_tsne, of_paired = chi.loc[chi["layer"] == layer, "chi"]
        blocks = np.stack(of_layer).reshape(3, 3, -1)
        assert of_paired == pytest.approx(block_design(blocks), rel=1e-3)
        assert of_pca == pytest.approx(separation(scores, labels), rel=1e-3)
        plane = points[points["layer"] == layer]
        assert of_tsne == pytest.approx(separation(plane[["x", "y"]], list(plane["kind"])))

    written = pd.read_csv(tmp_path / "paired.csv")
    assert list(written.columns) == ["run", "layer", "image", "other", "product"]
    assert (
        written["image"].str.cat(written["other"]).tolist()
        == ["aa", "ab", "ac", "bb", "bc", "cc"] * 2
    )

    written = pd.read_csv(tmp_path / "points.csv")
    assert list(written.columns) == ["run", "layer", "image", "kind", "x", "y"]
    assert written["kind"].tolist() == labels * 2
    assert written["image"].tolist() == list("abc") * 6


def test_command_repeats_itself_byte_by_byte(weights, lr_folders, tmp_path):
    for name in ("first", "second"):
        run_representations(weights, lr_folders, tmp_path / name, SETTINGS)
    for file in ("points.csv", "chi.csv", "paired.csv"):
        first, second = ((tmp_path / n / file).read_bytes() for n in ("first", "second"))
        assert first == second


def test_images_are_cropped_to_what_all_of_them_have(lr_folders):
    names, images = inputs.read_kinds(lr_folders, None, None)
    assert names == ["a", "b", "c"]
    assert images.shape == (4, 3, 16, 16, 3)  # LR images of 16 x 20 and 18 x 16
    np.testing.assert_array_equal(images[1, 0], read_rgb(lr_folders["blur"] / "a.png")[:, 2:18])
    np.testing.assert_array_equal(images[3, 2], read_rgb(lr_folders["jpeg"] / "c.png")[1:17])
    assert inputs.read_kinds(lr_folders, 2, 7)[1].shape == (4, 2, 7, 7, 3)


def test_what_cannot_be_compared_is_one_line(weights, lr_folders, tmp_path):
    clean = lr_folders["clean"]
    with pytest.raises(ReflashError, match="kinds: 1 given"):
        run_representations(weights, {"clean": clean}, tmp_path)
    fewer = tmp_path / "noise"
    shutil.copytree(lr_folders["noise"], fewer)
    (fewer / "b.png").unlink()
    with pytest.raises(ReflashError, match=r"noise/b\.png: no such image, but other kinds have it"):
        run_representations(weights, {"clean": clean, "noise": fewer}, tmp_path)
    (fewer / "a.png").unlink()
    with pytest.raises(ReflashError, match="holds one image"):
        run_representations(weights, {"noise": fewer, "clean": clean}, tmp_path)


def block_design(blocks: np.ndarray) -> float:
    """F of kinds in a two-way layout without interaction, summed over features by its formula."""
    kinds, images = blocks.shape[:2]
    grand = blocks.mean((0, 1))
    of_kind, of_image = blocks.mean(1), blocks.mean(0)
    between = images * np.square(of_kind - grand).sum()
    left = blocks - of_kind[:, None] - of_image[None] + grand
    return (between / (kinds - 1)) / (np.square(left).sum() / ((kinds - 1) * (images - 1)))


def test_paired_index_is_the_f_of_a_block_design():
    blocks = np.random.default_rng(0).normal(size=(4, 7, 5)) + np.arange(4)[:, None, None]
    assert paired_index(blocks) == pytest.approx(block_design(blocks))
    scattered = blocks + 1000 * np.random.default_rng(1).normal(size=(1, 7, 5))
    assert paired_index(scattered) == pytest.approx(paired_index(blocks))  # content does not count
    assert separation(scattered.reshape(28, 5), list("aaaaaaabbbbbbbcccccccddddddd")) < 0.01


def test_weighted_paired_index_is_not_raised_by_images_drawn_twice():
    rng = np.random.default_rng(2)
    blocks = rng.normal(size=(3, 30, 40)) + 0.3 * np.arange(3)[:, None, None]
    products = centred_products(blocks)
    equal = np.full((1, 30), 1 / 30)
    assert paired_separation(products, equal)[0] == pytest.approx(paired_index(blocks))
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=4000) / 30
    resampled = paired_separation(products, weights).mean()
    assert resampled == pytest.approx(paired_index(blocks), rel=0.03)
    drawn = [np.repeat(np.arange(30), np.rint(30 * w).astype(int)) for w in weights[:200]]
    as_drawn = np.mean([paired_index(blocks[:, images]) for images in drawn])
    assert as_drawn > resampled + 0.5  # what repeating images would do


def test_by_chance_the_paired_index_is_about_one_and_images_keep_their_samples():
    rng = np.random.default_rng(3)
    blocks = rng.normal(size=(4, 20, 30)) + 3 * np.arange(4)[:, None, None]
    shuffled = shuffled_kinds(blocks, rng)
    assert (np.sort(shuffled, axis=0) == np.sort(blocks, axis=0)).all()
    assert by_chance(paired_index, blocks, seed=0) == pytest.approx(1, abs=0.15)
    assert paired_index(blocks) > 100


def test_body_is_the_last_block_of_any_depth(weights, lr_folders, tmp_path):
    for layer in ("body", "b2"):  # the network has two blocks
        settings = SETTINGS.model_copy(update={"layers": (layer,)})
        run_representations(weights, lr_folders, tmp_path / layer, settings)
    body, last = (pd.read_csv(tmp_path / n / "chi.csv") for n in ("body", "b2"))
    assert set(body["layer"]) == {"body"}
    pd.testing.assert_frame_equal(body.drop(columns="layer"), last.drop(columns="layer"))
