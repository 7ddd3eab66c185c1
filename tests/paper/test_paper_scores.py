"""Averages over images and seeds, and the checks that make them comparable."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.scores import gains, metric_sentence, over_seeds, read_scores
from reflash.study.context import Context

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"


def test_means_over_images_and_kinds(make_context, write_evaluation):
    context = make_context(models=(PLAIN,))
    scores = read_scores([write_evaluation(f"{PLAIN}/seed0", [30, 32, 37])], context, "psnr", KINDS)
    assert list(scores["kind"]) == [*KINDS, "mean"]
    assert list(scores["value"]) == pytest.approx([33, 32, 31, 30, 29, 28, 27, 26, 29.5])
    assert set(scores["images"]) == {3}


def test_bicubic_comes_first_and_has_no_seed(make_context, write_evaluation):
    context = make_context(models=(PLAIN,), seeds=(0, 1))
    paths = [
        write_evaluation(f"{PLAIN}/seed1", [30]),
        write_evaluation(f"{PLAIN}/seed0", [30]),
        write_evaluation("bicubic", [29]),
    ]
    scores = read_scores(paths, context, "psnr", ("clean",))
    first = scores.drop_duplicates(["model", "seed"])
    assert list(zip(first["model"], first["seed"], strict=True)) == [
        ("bicubic", -1),
        (PLAIN, 0),
        (PLAIN, 1),
    ]


def test_a_name_may_begin_with_seed(make_context, write_evaluation):
    model = "external/seedvr"
    context = make_context(models=(model,))
    scores = read_scores(
        [write_evaluation(f"{model}/seed0", [30])], context, "psnr", ("clean",), bicubic=False
    )
    assert (scores["model"].tolist(), scores["seed"].tolist()) == ([model] * 2, [0] * 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(10, 50), st.floats(10, 50)).map(list), min_size=2, max_size=5))
def test_gain_is_paired_by_seed(values):
    """Mean and standard deviation of the differences of runs that share a seed."""
    rows = [
        {"set": "s", "model": model, "seed": seed, "kind": "clean", "value": v, "images": 4}
        for seed, pair in enumerate(values)
        for model, v in zip((PLAIN, DROPPED), pair, strict=True)
    ]
    shuffled = pd.DataFrame(rows).sample(frac=1, random_state=0)
    mean = over_seeds(gains(shuffled, DROPPED, PLAIN))["s", DROPPED, "clean"]
    differences = [dropped - plain for plain, dropped in values]
    assert mean.mean == pytest.approx(statistics.mean(differences), abs=1e-9)
    assert mean.std == pytest.approx(statistics.stdev(differences), abs=1e-6)
    assert (mean.seeds, mean.images) == (len(values), 4)


def test_one_seed_has_no_spread(make_context, write_evaluation):
    context = make_context(models=(PLAIN,))
    scores = read_scores([write_evaluation(f"{PLAIN}/seed0", [30])], context, "psnr", ("clean",))
    assert math.isnan(over_seeds(scores)["photos", PLAIN, "clean"].std)


def test_missing_run_is_named(make_context, write_evaluation):
    path = write_evaluation(f"{PLAIN}/seed0", [30])
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0: no evaluation on photos"):
        read_scores([path], make_context(), "psnr", KINDS)


def test_missing_kind_is_named(make_context, write_evaluation):
    path = write_evaluation(f"{PLAIN}/seed0", {"clean": [30]})
    with pytest.raises(ReflashError, match=r"seed0: no evaluation on photos \(blur\)"):
        read_scores([path], make_context(models=(PLAIN,)), "psnr", KINDS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "no such file"),
        ("", "cannot be read as CSV"),
        ("run,set,kind,image,psnr\n", "has no rows"),
        ("run,set,kind,image,ssim\na,b,c,d,1\n", "has no column 'psnr'"),
        ("run,set,kind,image,psnr\na,b,c,d,high\n", "contains non-numeric values"),
        ("run,set,kind,image,psnr\na,b,c,d,\n", "contains non-numeric values"),
        ('run,set\n"a,b\n', "cannot be read as CSV"),
    ],
)
def test_unusable_file_is_named(tmp_path, make_context, text, complaint):
    path = tmp_path / "evaluation.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReflashError, match=complaint) as error:
        read_scores([path], make_context(models=(PLAIN,)), "psnr", KINDS)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_no_file_at_all(make_context):
    with pytest.raises(ReflashError, match="no file is given"):
        read_scores([], make_context(), "psnr", KINDS)


def test_same_evaluation_twice_is_refused(make_context, write_evaluation):
    path = write_evaluation(f"{PLAIN}/seed0", [30])
    with pytest.raises(ReflashError, match=r"seed0 \(photos/clean/image0\) was given before"):
        read_scores([path, path], make_context(models=(PLAIN,)), "psnr", KINDS)


def test_means_over_different_images_are_refused(make_context, write_evaluation):
    paths = [
        write_evaluation(f"{PLAIN}/seed0", [30, 31]),
        write_evaluation(f"{DROPPED}/seed0", [30]),
    ]
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0.* other images .*image1"):
        read_scores(paths, make_context(), "psnr", KINDS)


def test_an_infinite_value_is_named(make_context, write_evaluation):
    """The evaluation reports images reproduced exactly with a finite PSNR."""
    path = write_evaluation(f"{PLAIN}/seed0", {"clean": [np.inf, 30]})
    with pytest.raises(ReflashError, match="column 'psnr' contains non-numeric values; regenerate"):
        read_scores([path], make_context(models=(PLAIN,)), "psnr", ("clean",))


def test_metric_sentence_states_channels_and_border(make_context):
    context: Context = make_context(crop=6)
    assert metric_sentence("psnr", context) == (
        "PSNR in dB on 8-bit RGB, border of 6 pixels left out, mean over images."
    )
    assert metric_sentence("ssim_y", context).startswith("SSIM on the BT.601 luma")
