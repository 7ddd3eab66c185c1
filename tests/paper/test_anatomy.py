"""Where a gain lies: parts that add up, their table, their figure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflash.core.errors import ReflashError
from reflash.evaluation.metrics import BANDS
from reflash.paper.anatomy import BAND_METRICS, MEASURES, band_parts
from reflash.paper.claims.tests import examine_claims
from reflash.paper.figures import gain_anatomy
from reflash.paper.figures.drawing import write_figure
from reflash.paper.tables import anatomy
from reflash.study.artefacts import Anatomy, Claims, FigureStyle, GainAnatomy
from reflash.study.inputs import Inputs

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
KINDS = ("clean", "blur", "noise", "jpeg")


def decibels(error: float) -> float:
    return -10 * math.log10(error)


errors = st.lists(st.floats(1e-9, 1.0), min_size=3, max_size=3)


@given(errors, errors)
def test_parts_add_up_and_share_the_error_that_is_gone(own, other):
    found = band_parts(*(np.array([decibels(e) for e in x]) for x in (own, other)))
    gain = decibels(sum(own)) - decibels(sum(other))
    assert found.sum() == pytest.approx(gain, abs=1e-9)
    gone = np.subtract(other, own)
    if abs(gone.sum()) > 1e-6 * sum(other):
        assert found == pytest.approx(gain * gone / gone.sum(), rel=1e-5, abs=1e-8)


def test_bands_that_trade_errors_at_no_gain():
    found = band_parts(-10 * np.log10([0.2, 0.1]), -10 * np.log10([0.1, 0.2]))
    assert found == pytest.approx([-10 / math.log(10) / 3, 10 / math.log(10) / 3])


def evaluation(write_rows, name, run, images):
    """One run on the set photos, the same in every kind: per image the errors of three bands."""
    rows = [
        (
            *(run, "photos", kind, f"image{i}", decibels(sum(of_bands))),
            *(decibels(error) for error in of_bands),
            decibels(2 * sum(of_bands)),
        )
        for kind in (
            "clean",
            "blur",
            "noise",
            "jpeg",
            "blur_noise",
            "blur_jpeg",
            "noise_jpeg",
            "blur_noise_jpeg",
        )
        for i, of_bands in enumerate(images)
    ]
    columns = "run,set,kind,image,psnr,psnr_low,psnr_middle,psnr_high,psnr_usm"
    return write_rows(name, columns, rows)


BEFORE = [(0.004, 0.002, 0.002), (0.006, 0.003, 0.003), (0.005, 0.002, 0.003)]


def two_runs(write_rows, factors):
    """The plain network, and one that has ``factors`` of its errors in the three bands."""
    after = [tuple(f * e for f, e in zip(factors, errors, strict=True)) for errors in BEFORE]
    return [
        evaluation(write_rows, "plain", f"{PLAIN}/seed0", BEFORE),
        evaluation(write_rows, "dropped", f"{DROPPED}/seed0", after),
    ]


def test_table_has_gains_and_their_parts(make_context, write_rows):
    context = make_context()
    frame = anatomy.gather(context, Anatomy(), two_runs(write_rows, (0.5, 1.0, 1.0)))
    clean = frame[(frame["kind"] == "clean") & (frame["model"] == DROPPED)]
    gain = clean[clean["row"] == "gain"].set_index("measure")["value"]
    parts = clean[clean["row"] == "parts"].set_index("measure")["value"]
    assert gain["psnr_low"] == pytest.approx(decibels(0.5))
    assert gain["psnr_middle"] == gain["psnr_high"] == pytest.approx(0, abs=1e-9)
    assert parts["psnr_low"] == pytest.approx(gain["psnr"])
    expected = np.mean([decibels(sum(e) - e[0] / 2) - decibels(sum(e)) for e in BEFORE])
    assert gain["psnr"] == gain["psnr_usm"] == pytest.approx(expected)
    layout = anatomy.arrange(frame, context, Anatomy(kinds=("clean",)))
    assert [row.cells[0].text for row in layout.rows] == [
        "photos (3 images), clean",
        "SRResNet",
        "SRResNet + dropout",
        "gain over SRResNet",
        "its parts, adding up to the gain",
    ]
    assert layout.rows[3].cells[2].text == "+3.01"
    assert "trained on sharpened images" in layout.caption
    plain = anatomy.arrange(frame, make_context(sharpened=False), Anatomy())
    assert "were not sharpened" in plain.caption


def test_a_network_of_others_is_one_training_beside_three_seeds(make_context, write_rows):
    theirs, seeds = "external/theirs", (0, 1, 2)
    files = [evaluation(write_rows, f"plain{s}", f"{PLAIN}/seed{s}", BEFORE) for s in seeds]
    files.append(evaluation(write_rows, "theirs", f"{theirs}/seed0", BEFORE))
    context = make_context(models=(PLAIN, theirs), seeds=seeds)
    frame = anatomy.gather(context, Anatomy(), files)
    assert frame.groupby("model")["seeds"].unique().to_dict() == {PLAIN: [3], theirs: [1]}
    assert frame.groupby("model")["value"].mean().nunique() == 1
    assert "trained on sharpened" in anatomy.arrange(frame, context, Anatomy()).caption
    alone = context.model_copy(update={"models": (theirs,)})
    shown = frame[frame["model"] == theirs]
    assert "were trained on" not in anatomy.arrange(shown, alone, Anatomy()).caption


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ((0.7, 1.0, 1.0), "supported"),
        ((0.99, 1.0, 1.0), "supported"),  # of a gain below 0.05 dB, too, all may be low
        ((1.0, 0.7, 0.7), "not supported"),
        ((1.2, 1.2, 1.2), "not tested"),
    ],
)
def test_the_claim_comes_out_either_way(make_context, write_rows, factors, verdict):
    context = make_context(sharpened=False)
    inputs = Inputs(evaluations=two_runs(write_rows, factors))
    claim = examine_claims(context, Claims(resamples=200), inputs).claims[-1]
    assert (claim.title, claim.verdict) == ("The gain is mostly low-frequency", verdict)
    if verdict == "not tested":
        assert "not surely above 0" in claim.missing[0]
    else:
        (part,) = claim.parts
        assert part.name.endswith("targets not sharpened")
        assert part.compared == (f"{DROPPED} - {PLAIN}",)


@pytest.mark.parametrize("column", ["psnr_usm", "psnr_middle"])
def test_the_claim_needs_the_bands_alone(make_context, write_rows, column):
    files = two_runs(write_rows, (0.7, 1.0, 1.0))
    for file in files:
        pd.read_csv(file).drop(columns=column).to_csv(file, index=False)
    found = examine_claims(make_context(), Claims(resamples=200), Inputs(evaluations=files))
    if column == "psnr_usm":
        assert found.claims[-1].verdict == "supported"
    else:
        assert "psnr_low" in found.claims[-1].missing[0]


def test_a_damaged_evaluation_is_not_one_without_bands(make_context, write_rows):
    files = two_runs(write_rows, (0.7, 1.0, 1.0))
    table = pd.read_csv(files[0])
    table.loc[0, "psnr_low"] = float("nan")
    table.to_csv(files[0], index=False)
    with pytest.raises(ReflashError, match="psnr_low"):
        examine_claims(make_context(), Claims(resamples=200), Inputs(evaluations=files))


def test_what_is_read_is_what_the_artefacts_declare():
    assert tuple(f"psnr_{band}" for band in BANDS) == BAND_METRICS
    assert Anatomy.metrics == GainAnatomy.metrics == MEASURES


def logs(write_rows, gain):
    return [
        write_rows(
            f"log{i}",
            "run,iteration,psnr,psnr_clean",
            [
                (f"{m}/seed{s}", it, 25.0, 25 + i * gain * it + 0.1 * i * s)
                for s in (0, 1)
                for it in (1, 2)
            ],
        )
        for i, m in enumerate((PLAIN, DROPPED))
    ]


def test_figure_shows_bands_and_the_gain_while_training(make_context, write_rows, tmp_path):
    context = make_context(seeds=(0, 1))
    files = [
        evaluation(
            write_rows, f"{i}{s}", f"{m}/seed{s}", [(e[0] / (1 + i), *e[1:]) for e in BEFORE]
        )
        for i, m in enumerate((PLAIN, DROPPED))
        for s in (0, 1)
    ]
    drawing = gain_anatomy.gather(context, GainAnatomy(kinds=KINDS), files, logs(write_rows, 0.2))
    bands = drawing.frame[drawing.frame["panel"] == "bands"].set_index(["kind", "part"])["value"]
    assert bands["clean", "low"] == pytest.approx(bands["clean", "gain"])
    training = drawing.frame[drawing.frame["panel"] == "training"].set_index("iteration")
    assert list(training["value"]) == pytest.approx([0.25, 0.45])
    # Student's t of two seeds at 95 %: 12.7 standard errors.
    assert training["images"].isna().all()
    half = 12.706 * 0.1 / 2
    assert training.loc[2, "high"] - training.loc[2, "value"] == pytest.approx(half, rel=1e-3)
    write_figure(drawing, tmp_path / "gain_anatomy", FigureStyle())
    assert (tmp_path / "gain_anatomy.png").is_file()
    assert pd.read_csv(tmp_path / "gain_anatomy.csv").shape == drawing.frame.shape


def test_figure_needs_a_pair(make_context, write_rows):
    with pytest.raises(ReflashError, match=r"figures\.gain_anatomy: shows no model beside"):
        gain_anatomy.gather(make_context(models=(PLAIN,)), GainAnatomy(), [], [])
