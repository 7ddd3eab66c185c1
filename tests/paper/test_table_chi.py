"""The separation of degradations, lower marked as better, and its change."""

from __future__ import annotations

import statistics

import pytest

from reflash.core.errors import ReflashError
from reflash.paper.tables.chi import arrange, gather
from reflash.study.artefacts import Chi

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
COLUMNS = "run,layer,space,chi,images,kinds,components,chance"
VALUES = {
    (PLAIN, "pca"): (2.0, 2.4),
    (PLAIN, "tsne"): (90.0, 110.0),
    (PLAIN, "paired"): (300.0, 500.0),
    (DROPPED, "paired"): (200.0, 250.0),
    (DROPPED, "pca"): (1.0, 1.8),
    (DROPPED, "tsne"): (95.0, 105.5),
}


@pytest.fixture
def chi(write_rows):
    rows = [
        (
            *(f"{model}/seed{seed}", "last", space, values[seed], 20, 4),
            *(2 if space == "tsne" else 79, 1.25),
        )
        for (model, space), values in VALUES.items()
        for seed in (0, 1)
    ]
    return [write_rows("chi", COLUMNS, rows)]


@pytest.fixture
def made(make_context, chi):
    context = make_context(seeds=(0, 1), representation_set="photos")
    return context, gather(context, Chi(), chi)


def line(frame, **keys):
    for name, value in keys.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def test_means_stds_and_relative_changes(made):
    _, frame = made
    for (model, space), values in VALUES.items():
        one = line(frame, model=model, space=space, row="model")
        assert one["value"] == pytest.approx(statistics.mean(values))
        assert one["std"] == pytest.approx(statistics.stdev(values))
    change = line(frame, model=DROPPED, space="pca", row="gain")
    # of halving and doubling nothing is left
    assert change["value"] == pytest.approx(statistics.geometric_mean([1.0 / 2.0, 1.8 / 2.4]) - 1)
    assert change["against"] == PLAIN


def test_lowest_is_best(made):
    _, frame = made
    marks = {key: line(frame, model=key[0], space=key[1], row="model")["mark"] for key in VALUES}
    assert marks == {
        (PLAIN, "pca"): "second",
        (PLAIN, "tsne"): "best",
        (DROPPED, "pca"): "best",
        (DROPPED, "tsne"): "second",
        (PLAIN, "paired"): "second",
        (DROPPED, "paired"): "best",
    }


def test_layout_and_caption(made):
    context, frame = made
    layout = arrange(frame, context, Chi())
    assert [(c.group, c.name) for c in layout.columns[1:]] == [
        ("last-conv", "PCA"),
        ("last-conv", "t-SNE"),
        ("last-conv", "paired"),
    ]
    assert [[cell.text for cell in row.cells] for row in layout.rows] == [
        ["SRResNet", "2.20 ± 0.28 (1.25)", "100.0 ± 14.1 (1.2)", "400.0 ± 141.4 (1.2)"],
        ["SRResNet + dropout", "1.40 ± 0.57 (1.25)", "100.2 ± 7.4 (1.2)", "225.0 ± 35.4 (1.2)"],
        ["change over SRResNet", "-38.8 %", "+0.6 %", "-42.3 %"],
    ]
    for part in (
        "lower is less separated",
        "this one answers",
        "by chance, with kinds shuffled within each image",
        "20 images of photos (the largest crop they share) in each of 4",
        "no evidence",
    ):
        assert part in layout.caption


def test_no_change_without_the_network_without_dropout(make_context, chi):
    frame = gather(make_context(models=(DROPPED,), seeds=(0, 1)), Chi(), chi)
    assert set(frame["row"]) == {"model"}


def test_missing_run_is_named(make_context, chi):
    with pytest.raises(ReflashError, match=rf"run {PLAIN}/seed2: not among .* reflash represent"):
        gather(make_context(seeds=(0, 2)), Chi(), chi)
