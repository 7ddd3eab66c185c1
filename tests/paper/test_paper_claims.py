"""Known effects get the right verdicts; what is not there is said to be missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import calinski_harabasz_score

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.interpretation.paired import centred_products, paired_index
from reflash.paper.claims.model import (
    Text,
    claim_texts,
    combine,
    effect_text,
    interval_text,
    judge,
    paper_text,
    read_claims,
    verdict_text,
    write_claims,
)
from reflash.paper.claims.tests import TESTS, curves_area, examine_claims, weighted_chi
from reflash.study.artefacts import Claims
from reflash.study.inputs import Inputs

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
ELEMENT = "srresnet/multi/last_conv-element-p0.7"
BODY = "srresnet/multi/b8-channel-p0.2"
LARGE = "rrdb/multi/none"
SINGLE = "srresnet/single/none"
SINGLE_DROPPED = "srresnet/single/last_conv-channel-p0.2"
SEEDS = (0, 1, 2)
IMAGES = tuple(f"image{n:02}" for n in range(24))
SETTINGS = Claims(resamples=400)
EFFECTS = {PLAIN: 0.0, DROPPED: 0.5, ELEMENT: 0.2, BODY: -0.4, LARGE: 0.2}


@pytest.fixture
def evaluate(write_rows):
    """Write evaluations in which a model differs from the others by a known number of dB."""

    def write(effects, seeds=SEEDS, noise=0.05, name="evaluation", test_set="photos"):
        rng = np.random.default_rng(4)
        images = rng.normal(0, 2, len(IMAGES))
        rows = []
        for model, effect in effects.items():
            for seed in seeds:
                level = 25 + effect + images + rng.normal(0, noise, len(IMAGES))
                rows += [
                    (f"{model}/seed{seed}", test_set, kind, image, value - step)
                    for step, kind in enumerate(KINDS)
                    for image, value in zip(IMAGES, level, strict=True)
                ]
        return write_rows(name, "run,set,kind,image,psnr", rows)

    return write


@pytest.fixture
def examine(make_context, evaluate):
    def run(
        effects=EFFECTS,
        seeds=SEEDS,
        settings=SETTINGS,
        context=None,
        noise=0.05,
        test_set="photos",
        **files,
    ):
        context = context or make_context(models=tuple(effects), seeds=seeds, test_sets=(test_set,))
        evaluation = evaluate(effects, seeds, noise, test_set=test_set)
        return examine_claims(context, settings, Inputs(evaluations=[evaluation], **files))

    return run


def claim(findings, number):
    return next(c for c in findings.claims if c.number == number)


def only_part(findings, number):
    (part,) = claim(findings, number).parts
    return part


# The rules


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, "supported"),
        (0.01, 0.2, "supported"),  # above 0, and it may be large enough
        (-0.1, 0.2, "inconclusive"),
        (-0.1, 0.02, "not supported"),  # too small to matter, whatever it is
        (0.01, 0.04, "not supported"),  # above 0, but too small to matter
        (-0.3, -0.1, "not supported"),
        (None, None, "not judged"),
    ],
)
def test_verdict_of_an_interval(low, high, verdict):
    assert judge(low, high, 0.0, 0.05) == verdict


def test_the_rule_is_said_in_the_order_in_which_it_is_applied(examine):
    """An interval of 0.01 to 0.04 dB lies above 0 and below what matters."""
    part = only_part(examine({PLAIN: 0.0, DROPPED: 0.03}, noise=0.01), 2)
    assert 0 < part.low < part.high < 0.05
    assert part.verdict == "not supported"
    assert part.rule == (
        "not supported if the interval lies below 0.05 dB, else supported if it lies above 0 dB, "
        "else inconclusive"
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.02, 0.1, "supported"), (-0.2, 0.1, "inconclusive"), (-0.3, -0.1, "not supported")],
)
def test_not_worse_allows_what_does_not_matter(low, high, verdict):
    assert judge(low, high, -0.05, -0.05) == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.0, 4.0, "supported"), (4.0, 6.0, "inconclusive"), (6.0, 9.0, "not supported")],
)
def test_a_cost_is_to_be_small(low, high, verdict):
    assert judge(low, high, 5, 5, below=True) == verdict


@pytest.mark.parametrize(
    ("verdicts", "combined"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "not supported", "inconclusive"], "not supported"),
        (["supported", "not judged"], "supported"),
        (["not judged"], "inconclusive"),
        ([], "not tested"),
    ],
)
def test_a_claim_is_a_conjunction(examine, verdicts, combined):
    part = only_part(examine({PLAIN: 0, DROPPED: 0.5}), 2)
    assert combine([part.model_copy(update={"verdict": v}) for v in verdicts]) == combined


# Known effects


@pytest.mark.parametrize(
    ("effect", "verdict"), [(-0.4, "supported"), (0.0, "not supported"), (0.4, "not supported")]
)
def test_dropout_in_the_body(examine, effect, verdict):
    findings = examine({PLAIN: 0.0, BODY: effect})
    part = only_part(findings, 1)
    assert part.effect == pytest.approx(-effect, abs=0.03)
    assert part.low <= part.effect <= part.high
    assert part.verdict == verdict
    assert claim(findings, 1).verdict == verdict
    assert part.compared == (f"{PLAIN} - {BODY}",)


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.5, "supported"), (0.0, "not supported"), (-0.5, "not supported")]
)
def test_gain_before_the_last_convolution(examine, effect, verdict):
    part = only_part(examine({PLAIN: 0.0, DROPPED: effect}), 2)
    assert part.effect == pytest.approx(effect, abs=0.03)
    assert part.verdict == verdict


def test_a_small_study_with_much_noise_is_inconclusive(examine):
    part = only_part(examine({PLAIN: 0.0, DROPPED: 0.0}, noise=2.0), 2)
    assert part.low < 0 < part.high
    assert part.verdict == "inconclusive"


@pytest.mark.parametrize(
    ("effect", "verdict"), [(0.0, "supported"), (0.3, "supported"), (-0.3, "not supported")]
)
def test_single_setting_is_not_to_be_hurt(examine, effect, verdict):
    part = only_part(examine({SINGLE: 0.0, SINGLE_DROPPED: effect}), 2)
    assert part.verdict == verdict
    assert "above -0.05 dB" in part.rule


def test_single_setting_is_tested_on_clean_images(make_context, write_rows):
    """The clean images show no effect, the others a large one."""
    rows = [
        (f"{model}/seed0", "photos", kind, image, 25 + number + effect * (kind != "clean"))
        for model, effect in ((SINGLE, 0.0), (SINGLE_DROPPED, -3.0))
        for kind in KINDS
        for number, image in enumerate(IMAGES)
    ]
    path = write_rows("evaluation", "run,set,kind,image,psnr", rows)
    context = make_context(models=(SINGLE, SINGLE_DROPPED))
    part = only_part(examine_claims(context, SETTINGS, Inputs([path])), 2)
    assert part.effect == pytest.approx(0.0)


@pytest.mark.parametrize(("large", "verdict"), [(0.2, "supported"), (0.9, "not supported")])
def test_one_line_against_ten_times_the_parameters(examine, large, verdict):
    parts = claim(examine({PLAIN: 0.0, DROPPED: 0.5, LARGE: large}, test_set="Set5"), 2).parts
    part = next(p for p in parts if "RRDB" in p.name)
    assert part.effect == pytest.approx(0.5 - large, abs=0.03)
    assert part.verdict == verdict
    assert part.paper == pytest.approx(
        np.mean([25.67 - 25.21, 25.34 - 25.14, 24.14 - 24.01, 24.06 - 23.86])
    )


@pytest.mark.parametrize(("element", "verdict"), [(0.2, "supported"), (0.9, "not supported")])
def test_channel_against_element(examine, element, verdict):
    part = only_part(examine({PLAIN: 0.0, DROPPED: 0.5, ELEMENT: element}), 3)
    assert part.effect == pytest.approx(0.5 - element, abs=0.03)
    assert part.verdict == verdict


def test_pairs_elsewhere_count_where_there_are_none_at_the_end(examine):
    twin = BODY.replace("channel", "element")
    part = only_part(examine({PLAIN: 0.0, BODY: 0.5, twin: 0.3, DROPPED: 0.0}), 3)
    assert part.compared == (f"{BODY} - {twin}",)
    both = examine({BODY: 0.5, twin: 0.3, DROPPED: 0.9, ELEMENT: 0.0})
    assert only_part(both, 3).compared == (f"{DROPPED} - {ELEMENT}",)


def test_nearest_probability_stands_for_the_chosen_one(examine):
    low, high = (f"srresnet/multi/last_conv-channel-p{p}" for p in (0.3, 0.9))
    part = only_part(examine({PLAIN: 0.0, low: 0.1, high: 0.2}), 2)
    assert part.compared == (f"{high} - {PLAIN}",)
    chosen = SETTINGS.model_copy(update={"last_conv": {"srresnet/multi": 0.6}})
    part = only_part(examine({PLAIN: 0.0, low: 0.1, high: 0.2}, settings=chosen), 2)
    assert part.compared == (f"{low} - {PLAIN}",)  # both are as near: the smaller


def test_paper_value_is_of_the_same_two_models(examine):
    assert all(part.paper is None for part in claim(examine(), 2).parts)  # other photographs
    parts = claim(examine(test_set="Set5"), 2).parts
    gain = next(p for p in parts if p.compared == (f"{DROPPED} - {PLAIN}",))
    assert gain.paper == pytest.approx(np.mean([0.78, 0.58, 0.39, 0.36]))
    assert "digitised" in gain.paper_evidence
    assert "Set5 is inferred" in gain.paper_evidence
    other = only_part(examine({PLAIN: 0, DROPPED.replace("0.7", "0.5"): 0.5}), 2)
    assert other.paper is None


def test_the_effect_on_what_the_paper_value_is_of_is_beside_it(make_context, write_rows):
    """A gain of 1 dB on Set5 in the kinds of the paper's bars; of -1 dB in all else."""
    known = ("clean", "blur", "noise", "jpeg")
    rows = [
        (f"{model}/seed{seed}", name, kind, image, 25 + gain * (model == DROPPED) + seed)
        for model in (PLAIN, DROPPED)
        for seed in SEEDS
        for name in ("Set5", "photos")
        for kind in KINDS
        for image in IMAGES
        for gain in (1 if name == "Set5" and kind in known else -1,)
    ]
    path = write_rows("evaluation", "run,set,kind,image,psnr", rows)
    context = make_context(models=(PLAIN, DROPPED), seeds=SEEDS, test_sets=("Set5", "photos"))
    part = only_part(examine_claims(context, SETTINGS, Inputs(evaluations=[path])), 2)
    assert part.comparable == pytest.approx(1)
    assert part.effect == pytest.approx(-0.5)
    assert paper_text(part) == "+0.53 dB (here +1.00 dB [+1.00, +1.00])"


def test_one_seed_says_that_only_images_were_resampled(examine):
    part = only_part(examine({PLAIN: 0.0, DROPPED: 0.5}, seeds=(3,)), 2)
    assert part.method.startswith("one seed: paired bootstrap over 24 images only")
    three = only_part(examine({PLAIN: 0.0, DROPPED: 0.5}), 2)
    assert three.method == "paired bootstrap over 3 seeds and 24 images"


def test_same_seed_of_resampling_same_findings(examine):
    assert examine() == examine()
    other = SETTINGS.model_copy(update={"seed": 1})
    assert examine(settings=other) != examine()


# Analyses


@pytest.fixture
def analyse(write_rows):
    """Write analyses of two models: with dropout saliency is evener, losses smaller, by ``gap``."""

    def write(gap, seeds=SEEDS, models=(PLAIN, DROPPED)):
        rng = np.random.default_rng(9)
        concentration, ablation, masked = [], [], []
        for model in models:
            shift = gap if model == DROPPED else 0.0
            for seed in seeds:
                run = f"{model}/seed{seed}"
                for number, image in enumerate(IMAGES[:6]):
                    noise = 0.02 * number + rng.normal(0, 0.001)
                    for layer, off in (("b1", 0.5), ("last", 0.0)):
                        gini, entropy = 0.5 - shift + off + noise, 0.4 + shift - off + noise
                        concentration.append((run, image, layer, gini, entropy))
                        ablation += [
                            (run, image, layer, c, 30 - (0.6 - shift + off + noise) / (c + 1), 30.0)
                            for c in range(4)
                        ]
                    masked += [
                        (run, image, "last", order, 0, count, 30 - (0.6 - fall + noise) * count / 2)
                        for order, fall in (("natural", 0.0), ("saliency", shift))
                        for count in range(5)
                    ]
        return {
            "concentration": [
                write_rows("concentration", "run,image,layer,gini,entropy", concentration)
            ],
            "ablation": [
                write_rows("ablation", "run,image,layer,channel,psnr,psnr_full", ablation)
            ],
            "masking": [write_rows("masking", "run,image,layer,order,draw,masked,psnr", masked)],
        }

    return write


@pytest.mark.parametrize(
    ("gap", "verdict"), [(0.2, "supported"), (0.0, "not supported"), (-0.2, "not supported")]
)
def test_equalised_saliency(examine, analyse, gap, verdict):
    findings = examine({PLAIN: 0.0, DROPPED: 0.0}, **analyse(gap))
    parts = claim(findings, 4).parts
    # Entropy saturates near 1, where no difference could be as large as one that matters.
    assert [p.verdict for p in parts] == [verdict, "not judged", verdict, verdict]
    assert [p.effect for p in parts] == pytest.approx([gap] * 4, abs=0.01)
    assert claim(findings, 4).verdict == verdict
    assert not claim(findings, 4).missing


def test_masking_that_costs_nothing_is_not_judged(examine, analyse):
    """Where a global residual alone scores more, PSNR ends above its start."""
    files = analyse(0.2)
    table = pd.read_csv(files["masking"][0])
    last = table["masked"] == table["masked"].max()
    table.loc[last, "psnr"] = table["psnr"].max() + 1
    table.to_csv(files["masking"][0], index=False)
    found = claim(examine({PLAIN: 0.0, DROPPED: 0.0}, **files), 4)
    assert [part.verdict for part in found.parts] == [
        "supported",
        "not judged",
        "supported",
        "not judged",
    ]
    assert "of networks that score no lower with all masked" in found.parts[-1].name
    assert (found.verdict, found.missing) == ("supported", ())


def test_one_line_is_compared_with_ten_times_the_parameters_or_not_at_all(examine, make_context):
    effects = {PLAIN: 0.0, DROPPED: 0.3, "rrdb/multi/none": 0.1}
    larger = "SRResNet with dropout less RRDB without, multi"
    assert larger in [part.name for part in claim(examine(effects), 2).parts]
    context = make_context(models=tuple(effects), seeds=SEEDS, smaller=("rrdb",))
    shallow = claim(examine(effects, context=context), 2)
    assert larger not in [part.name for part in shallow.parts]
    assert any("RRDB at the paper's size" in line for line in shallow.missing)


def test_saliency_is_compared_at_the_chosen_layer(examine, analyse):
    files = analyse(0.2)
    table = pd.read_csv(files["concentration"][0])
    table.loc[table["layer"] == "b1", ["gini", "entropy"]] = 0.5
    table.to_csv(files["concentration"][0], index=False)
    settings = SETTINGS.model_copy(update={"layer": "b1"})
    parts = claim(examine({PLAIN: 0, DROPPED: 0}, settings=settings, **files), 4).parts
    assert parts[0].effect == pytest.approx(0.0)
    assert parts[2].effect == pytest.approx(0.2, abs=0.01)


def test_analysis_of_one_model_alone_is_missing(examine, analyse):
    findings = examine({PLAIN: 0.0, DROPPED: 0.0}, **analyse(0.2, models=(PLAIN,)))
    assert claim(findings, 4).verdict == "not tested"
    assert claim(findings, 4).missing[0] == (f"reflash saliency at last of {PLAIN} and {DROPPED}")


def test_analysis_without_a_seed_is_missing(examine, analyse):
    findings = examine({PLAIN: 0.0, DROPPED: 0.0}, **analyse(0.2, seeds=(0, 1)))
    assert claim(findings, 4).verdict == "not tested"


@pytest.fixture
def represent(write_rows):
    """Write points and indices: clusters ``apart`` from each other for each of two models."""

    def write(plain, dropped, seeds=SEEDS):
        rng = np.random.default_rng(2)
        points, chi = [], []
        kinds = ("clean", "blur", "noise")
        for model, apart in ((PLAIN, plain), (DROPPED, dropped)):
            for seed in seeds:
                run = f"{model}/seed{seed}"
                cloud = rng.normal(0, 1, (3, 40, 2))
                cloud += apart * np.array([[0, 0], [1, 0], [0, 1]])[:, None]
                for kind, of_kind in zip(kinds, cloud, strict=True):
                    points += [(run, "last", f"i{n}", kind, *xy) for n, xy in enumerate(of_kind)]
                index = 1 + apart + rng.normal(0, 0.02)
                chi += [(run, "last", "pca", index, 40, 3, 99), (run, "last", "tsne", 1, 40, 3, 2)]
        return {
            "points": [write_rows("points", "run,layer,image,kind,x,y", points)],
            "chi": [write_rows("chi", "run,layer,space,chi,images,kinds,components", chi)],
        }

    return write


@pytest.mark.parametrize(
    ("plain", "dropped", "verdict"),
    [(3.0, 1.0, "supported"), (2.0, 2.0, "not supported"), (1.0, 3.0, "not supported")],
)
def test_clusters_mix_with_dropout(examine, represent, plain, dropped, verdict):
    findings = examine({PLAIN: 0.0, DROPPED: 0.0}, **represent(plain, dropped))
    plane, components = claim(findings, 5).parts
    assert components.effect == pytest.approx(100 * (1 - (1 + dropped) / (1 + plain)), abs=3)
    assert claim(findings, 5).verdict == verdict
    assert plane.low < plane.effect < plane.high < 100
    assert "3 seeds and 40 images" in plane.method
    assert components.method == "paired bootstrap over 3 seeds"


def test_effect_on_clusters_is_the_geometric_mean_of_ratios(examine, represent):
    files = represent(3.0, 1.0)
    table = pd.read_csv(files["points"][0])
    values = {
        run: calinski_harabasz_score(rows[["x", "y"]], rows["kind"])
        for run, rows in table.groupby("run")
    }
    logs = [math.log(values[f"{DROPPED}/seed{s}"] / values[f"{PLAIN}/seed{s}"]) for s in SEEDS]
    plane = claim(examine({PLAIN: 0.0, DROPPED: 0.0}, **files), 5).parts[0]
    assert plane.effect == pytest.approx(100 * (1 - math.exp(np.mean(logs))))


def test_one_seed_leaves_the_index_on_components_unjudged(examine, represent):
    findings = examine({PLAIN: 0.0, DROPPED: 0.0}, seeds=(0,), **represent(3.0, 1.0, (0,)))
    plane, components = claim(findings, 5).parts
    assert (components.low, components.verdict) == (None, "not judged")
    assert claim(findings, 5).verdict == plane.verdict == "supported"


@pytest.mark.parametrize(
    ("plain", "dropped", "verdict"), [(3.0, 1.0, "supported"), (1.0, 3.0, "not supported")]
)
def test_the_paired_index_decides_where_it_is_known(
    examine, represent, write_rows, plain, dropped, verdict
):
    rng, rows, expected = np.random.default_rng(4), [], {}
    for model, apart in ((PLAIN, plain), (DROPPED, dropped)):
        for seed in SEEDS:
            blocks = rng.normal(size=(3, 40, 5)) + apart * np.arange(3)[:, None, None]
            blocks += 100 * rng.normal(size=(1, 40, 5))
            products = centred_products(blocks)
            expected[model, seed] = paired_index(blocks)
            rows += [
                (f"{model}/seed{seed}", "last", f"i{a}", f"i{b}", products[a, b])
                for a in range(40)
                for b in range(a, 40)
            ]
    files = represent(dropped, plain)  # the published index says the opposite
    files["paired"] = [write_rows("paired", "run,layer,image,other,product", rows)]
    found = claim(examine({PLAIN: 0.0, DROPPED: 0.0}, **files), 5)
    paired, *published = found.parts
    logs = [math.log(expected[DROPPED, s] / expected[PLAIN, s]) for s in SEEDS]
    assert paired.effect == pytest.approx(100 * (1 - math.exp(np.mean(logs))))
    assert "3 seeds and 40 images" in paired.method
    assert [part.verdict for part in published] == ["not judged"] * 2
    assert "does not count" in published[0].rule
    assert published[0].low is not None  # although it has an interval
    assert found.rule.startswith("supported if every part that is judged is supported")
    assert found.verdict == verdict


@pytest.mark.parametrize("index", ["plane", "components"])
def test_an_index_of_zero_has_no_ratio(examine, represent, index):
    files = represent(3.0, 1.0)
    points, chi = (pd.read_csv(files[name][0]) for name in ("points", "chi"))
    if index == "plane":  # every kind lies where the others do
        points.loc[points["run"] == f"{DROPPED}/seed0", ["x", "y"]] = 0.5, 0.5
    else:
        chi.loc[chi["run"] == f"{DROPPED}/seed0", "chi"] = 0.0
    points.to_csv(files["points"][0], index=False)
    chi.to_csv(files["chi"][0], index=False)
    found = claim(examine({PLAIN: 0.0, DROPPED: 0.0}, **files), 5)
    other = {"plane": "principal components", "components": "plane"}[index]
    assert [other in part.name for part in found.parts] == [True]
    assert found.missing == (
        f"reflash represent at last (paired) of {PLAIN} and {DROPPED}",
        f"a ratio of the {index} index at last (of some run it is 0 or infinite)",
    )


def test_weighted_index_is_that_of_repeated_images():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(12, 2, 4)) + np.arange(4)
    drawn = rng.integers(0, 12, 12)
    labels = np.tile(np.arange(4), 12)
    weights = np.stack([np.full(12, 1 / 12), np.bincount(drawn, minlength=12) / 12])
    expected = [
        calinski_harabasz_score(sample.transpose(0, 2, 1).reshape(-1, 2), labels)
        for sample in (cloud, cloud[drawn])
    ]
    assert list(weighted_chi(cloud, weights)) == pytest.approx(expected)


@pytest.fixture
def sensitivity(write_rows):
    """Write curves ``start - loss * ratio ** power``, and a classifier's."""

    def write(power):
        ratios = (0.0, 0.25, 0.5, 0.75, 1.0)
        rows = [
            ("sr", f"{PLAIN}/seed{s}", r, d, "psnr", 28 - 8 * r**power + 0.01 * d * r)
            for s in SEEDS
            for r in ratios
            for d in range(4)
        ]
        rows += [
            ("classification", "digits_cnn", r, d, "accuracy", 0.98 - 0.8 * r + 0.001 * d * r)
            for r in ratios
            for d in range(4)
        ]
        return [write_rows("sensitivity", "task,model,ratio,draw,metric,value", rows)]

    return write


@pytest.mark.parametrize(("power", "verdict"), [(0.4, "supported"), (2.5, "not supported")])
def test_sooner_than_a_classifier(examine, sensitivity, power, verdict):
    findings = examine({PLAIN: 0.0}, sensitivity=sensitivity(power))
    loss, area = claim(findings, 1).parts
    assert claim(findings, 1).verdict == area.verdict == verdict
    assert area.method == (
        "paired bootstrap over 3 seeds and 4 random choices, says nothing about other images"
    )
    ratios = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    heights = 1 - ratios**power
    expected = 0.5 - np.mean((heights[1:] + heights[:-1]) / 2)
    assert area.effect == pytest.approx(expected, abs=0.01)
    assert "25 % of the channels at last-conv" in loss.name
    assert loss.effect == pytest.approx(8 * 0.25**power, abs=0.01)


def test_a_network_that_loses_nothing_is_not_sensitive(examine, write_rows):
    """However early the curve falls: 0.01 dB are no loss."""
    ratios = (0.0, 0.5, 1.0)
    rows = [
        (task, model, r, d, metric, value)
        for r in ratios
        for d in range(4)
        for task, model, metric, value in (
            ("sr", f"{PLAIN}/seed0", "psnr", 28 - 0.01 * (r > 0) - 0.001 * d * r),
            ("classification", "digits_cnn", "accuracy", 0.98 - 0.8 * r - 0.001 * d * r),
        )
    ]
    path = write_rows("sensitivity", "task,model,ratio,draw,metric,value", rows)
    findings = examine({PLAIN: 0.0}, seeds=(0,), sensitivity=[path])
    assert [part.verdict for part in claim(findings, 1).parts] == ["not supported", "supported"]
    assert claim(findings, 1).verdict == "not supported"


def test_a_network_that_scores_more_with_all_dropped_is_reported_and_does_not_count(
    examine, sensitivity
):
    """It lives by a global residual; the other network is judged all the same."""
    other = "rrdb/multi/none"
    (path,) = sensitivity(0.4)
    lines = Path(path).read_text().splitlines()
    rows = [line.split(",") for line in lines if f"{PLAIN}/" in line]
    for row in rows:
        row[1], row[-1] = row[1].replace(PLAIN, other), str(2 * 28 - float(row[-1]))
    Path(path).write_text("\n".join([*lines, *(",".join(row) for row in rows)]) + "\n")
    alone = claim(examine({PLAIN: 0.0}, sensitivity=[path]), 1)
    both = claim(examine({PLAIN: 0.0, other: 0.0}, sensitivity=[path]), 1)
    parts = {part.name: part for part in both.parts}
    (risen,) = [part for part in both.parts if "score no lower with the most dropped" in part.name]
    assert (risen.verdict, risen.effect < 0) == ("not judged", True)
    assert both.verdict == alone.verdict == "supported"
    for part in alone.parts:
        assert parts[part.name] == part
    only = claim(examine({other: 0.0}, sensitivity=[path]), 1)
    assert [part.verdict for part in only.parts] == ["not judged"]
    assert only.verdict == "inconclusive"
    assert any("curves of reflash sensitivity that fall" in line for line in only.missing)


def test_area_of_stretched_curves():
    ratios = np.array([0.0, 0.5, 1.0])
    assert curves_area(np.array([30.0, 25.0, 20.0]), ratios) == pytest.approx(0.5)
    assert curves_area(np.array([[30.0, 30.0, 20.0]]), ratios) == pytest.approx([0.75])
    assert math.isnan(curves_area(np.array([20.0, 25.0, 20.0]), ratios))


@pytest.mark.parametrize(
    ("extra", "std", "verdict"),
    [(1.0, 0.5, "supported"), (9.0, 0.5, "not supported"), (5.0, 2.0, "inconclusive")],
)
def test_cost(examine, write_rows, extra, std, verdict):
    rows = [
        ("srresnet", "none", "", "", 100.0, 9.0, "", "", "", 200.0, "here", "cpu"),
        (
            "srresnet",
            "last_conv",
            "channel",
            0.7,
            100 + extra,
            9.0,
            extra / 100,
            std / 100,
            9,
            210.0,
            "here",
            "cpu",
        ),
        ("srresnet", "last_conv", "channel", 0.2, 900.0, 9.0, 8.0, 0.1, 9, 990.0, "here", "cpu"),
        ("srresnet", "last_conv", "element", 0.7, 900.0, 9.0, 8.0, 0.1, 9, 990.0, "here", "cpu"),
    ]
    columns = "network,where,dimension,p,ms_per_iteration,ms_std,extra,extra_error,rounds,"
    columns += "peak_mib,workload,device"
    findings = examine({PLAIN: 0.0}, cost=write_rows("cost", columns, rows))
    time, memory = claim(findings, 6).parts
    assert time.effect == pytest.approx(extra)
    assert time.verdict == claim(findings, 6).verdict == verdict
    around = 2.306004 * std  # Student's t with 8 degrees of freedom
    assert time.high - time.effect == pytest.approx(around, rel=1e-3)
    assert (memory.effect, memory.verdict) == (pytest.approx(5.0), "not judged")


# What is missing, and how it is said


def test_without_models_nothing_is_tested(examine):
    findings = examine({LARGE: 0.0})
    assert [c.verdict for c in findings.claims] == ["not tested"] * 7
    assert all(c.missing and not c.parts for c in findings.claims)
    assert "b8-channel-p0.2" in claim(findings, 1).missing[0]
    assert claim(findings, 6).missing == ("the benchmark of dropout's cost (cost.csv)",)


def test_a_partly_tested_claim_says_so(examine):
    findings = examine({PLAIN: 0.0, DROPPED: 0.5})
    two = claim(findings, 2)
    assert verdict_text(two, findings) == (
        "supported in the parts tested (demo scale: no evidence about the paper)"
    )
    assert any("rrdb/multi/none" in line for line in two.missing)
    assert verdict_text(claim(findings, 3), findings) == "not tested"


def test_a_scale_with_evidence_needs_no_label(examine, make_context):
    context = make_context(models=tuple(EFFECTS), seeds=SEEDS, evidence="paper", scale="paper")
    findings = examine(context=context)
    assert findings.warning == ""
    assert verdict_text(claim(findings, 3), findings) == "supported"


def test_a_fraction_of_the_training_labels_every_verdict(examine, make_context):
    context = make_context(
        models=tuple(EFFECTS), seeds=SEEDS, evidence="fraction", fraction="4 % of its training"
    )
    findings = examine(context=context)
    assert (findings.evidence, findings.warning) == (
        "fraction",
        "Partial evidence: 4 % of its training.",
    )
    assert verdict_text(claim(findings, 3), findings) == (
        "supported (partial evidence: 4 % of its training)"
    )


def test_texts_of_a_part(examine):
    part = only_part(examine({PLAIN: 0.0, DROPPED: 0.5}), 2)
    shown = part.model_copy(update={"effect": 0.5, "low": -0.123, "high": 0.77, "paper": None})
    assert effect_text(shown) == "+0.50 dB"
    assert interval_text(shown) == "[-0.12, +0.77]"
    assert paper_text(shown) == "--"
    assert interval_text(shown.model_copy(update={"low": None, "high": None})) == "--"


def test_every_claim_says_what_the_paper_says_and_how_sure(examine):
    findings = examine()
    assert [c.number for c in findings.claims] == [1, 2, 3, 4, 5, 6, 7]
    words = ("seen", "digitised", "inferred", "restated", "not found")
    for one in findings.claims:
        assert one.paper
        assert any(word in one.evidence for word in words)


def test_texts_and_tests_of_the_claims_are_the_same_seven():
    assert list(claim_texts()) == list(TESTS)
    assert [text.title for text in claim_texts().values()][4] == (
        "With dropout deep features separate degradations less"
    )


def test_values_are_filled_into_a_text_and_braces_stay():
    text = claim_texts()["last_conv_helps"]
    assert text.part("multi", family="rrdb/multi") == (
        "gain of dropout before the last conv, rrdb/multi"
    )
    assert text.need("setting", setting="single") == (
        "models such as srresnet/single/{none,last_conv-channel-p0.5}"
    )


def test_a_text_with_an_unknown_key_is_refused():
    values = next(iter(claim_texts().values())).model_dump()
    with pytest.raises(ValidationError, match="verdict"):
        Text.model_validate(values | {"verdict": "supported"})


def test_claims_json_reads_back(tmp_path, examine):
    findings = examine()
    write_claims(tmp_path / "claims.json", findings)
    assert read_claims(tmp_path / "claims.json") == findings
    stored = json.loads((tmp_path / "claims.json").read_text())
    assert (stored["scale"], stored["evidence"]) == ("demo", "none")
    assert stored["warning"] == "Demo scale: no evidence about the paper."


@pytest.mark.parametrize("text", [None, "", "{", '{"claims": []}', '{"study": 1}'])
def test_broken_claims_json_is_named(tmp_path, text):
    path = tmp_path / "claims.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReflashError, match=r"claims\.json: .*regenerate it with reflash claims"):
        read_claims(path)


def test_missing_evaluation_is_named(make_context, evaluate):
    context = make_context(models=(PLAIN, DROPPED), seeds=SEEDS)
    inputs = Inputs([evaluate({PLAIN: 0.0})])
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed0: no evaluation on photos"):
        examine_claims(context, SETTINGS, inputs)


def test_no_evaluation_at_all_is_named(make_context):
    with pytest.raises(ReflashError, match="claims: needs evaluations, and the study has none"):
        examine_claims(make_context(), SETTINGS, Inputs())
