"""PSNR and accuracy are means over draws (and seeds) at every ratio."""

from __future__ import annotations

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.figures.feature_drop_sensitivity import draw, gather
from reflash.paper.figures.style import rc
from reflash.study.artefacts import FeatureDropSensitivity, FigureStyle

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
COLUMNS = "task,model,ratio,draw,metric,value"
RATIOS = (0.0, 0.3, 0.9)
PSNR = {
    (model, seed): np.random.default_rng([m, seed]).uniform(15, 30, (3, 4))
    for m, model in enumerate((PLAIN, DROPPED))
    for seed in (0, 1)
}
ACCURACY = np.random.default_rng(9).uniform(0.2, 1, (3, 4))


def rows(model, metric, values):
    task = "sr" if metric == "psnr" else "classification"
    return [
        (task, model, ratio, number, metric, values[r, number])
        for r, ratio in enumerate(RATIOS)
        for number in range(4)
    ]


@pytest.fixture
def sensitivity(write_rows):
    """One file per run, each with the same classifier."""
    return [
        write_rows(
            f"{model}-{seed}".replace("/", "_"),
            COLUMNS,
            rows(f"{model}/seed{seed}", "psnr", values) + rows("digits_cnn", "accuracy", ACCURACY),
        )
        for (model, seed), values in PSNR.items()
    ]


@pytest.fixture
def drawing(make_context, sensitivity):
    return gather(make_context(seeds=(0, 1)), FeatureDropSensitivity(), sensitivity)


def test_means_over_draws_and_seeds(drawing):
    frame = drawing.frame
    assert list(frame["model"].unique()) == [PLAIN, DROPPED, "digits_cnn"]
    for model in (PLAIN, DROPPED):
        values = np.concatenate([PSNR[model, seed] for seed in (0, 1)], axis=1)
        own = frame[frame["model"] == model]
        np.testing.assert_allclose(own["value"], values.mean(1))
        np.testing.assert_allclose(own["std"], values.std(1, ddof=1))
    other = frame[frame["task"] == "classification"]
    np.testing.assert_allclose(other["value"], ACCURACY.mean(1))
    np.testing.assert_allclose(other["std"], ACCURACY.std(1, ddof=1))
    assert set(other["seeds"]) == {1}


def test_lines_are_the_frame(drawing):
    with rc(STYLE):
        left, right = draw(drawing, STYLE).axes
    assert [line.get_label() for line in left.lines] == [PLAIN, DROPPED]
    for line in left.lines:
        own = drawing.frame[drawing.frame["model"] == line.get_label()]
        np.testing.assert_array_equal(line.get_ydata(), own["value"])
        assert list(line.get_xdata()) == list(RATIOS)
    np.testing.assert_allclose(right.lines[0].get_ydata(), 100 * ACCURACY.mean(1))
    assert (left.get_ylabel(), right.get_ylabel()) == ("PSNR (dB), 2 seeds", "Accuracy (%)")


def test_caption(drawing):
    for part in (
        "over 4 random choices",
        "draws and, of the models, seeds",
        "Seeds 0, 1.",
        "no evidence about",
    ):
        assert part in drawing.caption


def test_a_network_of_others_is_one_training(make_context, sensitivity, write_rows):
    theirs = write_rows("theirs", COLUMNS, rows("external/x/seed0", "psnr", PSNR[PLAIN, 0]))
    context = make_context(models=(PLAIN, "external/x"), seeds=(0, 1))
    frame = gather(context, FeatureDropSensitivity(), [*sensitivity, theirs]).frame
    seeds = frame.groupby("model")["seeds"].unique().to_dict()
    assert seeds == {PLAIN: [2], "external/x": [1], "digits_cnn": [1]}


def test_missing_classifier_is_named(make_context, write_rows):
    own = [
        (task, f"{model}/seed0", ratio, number, metric, value)
        for model in (PLAIN, DROPPED)
        for task, _, ratio, number, metric, value in rows(model, "psnr", PSNR[model, 0])
    ]
    path = write_rows("only", COLUMNS, own)
    with pytest.raises(ReflashError, match=r"only\.csv: has no rows of task classification"):
        gather(make_context(), FeatureDropSensitivity(), [path])


def test_missing_run_is_named(make_context, sensitivity):
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0: not among .* sensitivity"):
        gather(make_context(), FeatureDropSensitivity(), sensitivity[:2])
