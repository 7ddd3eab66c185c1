"""Testing the paper's claims: a function per claim, from a study's numbers to parts.

Each takes the study's data and the claim's words, and returns the parts that could be made and a
line for each that could not. ``TESTS`` lists them; ``texts.yaml`` says the same in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from reflash.degradations.settings import KINDS
from reflash.degradations.tasks import TASKS, Task
from reflash.interpretation.paired import paired_separation
from reflash.models.names import setting_of
from reflash.paper.analyses import layer_label, read_classifier
from reflash.paper.claims.bootstrap import Array, Estimate
from reflash.paper.claims.data import Data, Pair
from reflash.paper.claims.model import (
    ONE_RULE,
    ONE_SEED,
    RULE,
    Claim,
    Findings,
    Part,
    Text,
    claim_texts,
    combine,
    judge,
)
from reflash.paper.costs import read_cost
from reflash.paper.reference import COMPARABLE_SET, reference_gain
from reflash.paper.regularisers import family_of, strength_of
from reflash.paper.scores import same_images
from reflash.study.artefacts import Claims
from reflash.study.context import Context, evidence_sentence, kind_label, listing
from reflash.study.inputs import Inputs

Tested = tuple[list[Part], list[str]]
"""The parts of a claim that could be made, and a line for each that could not."""


@dataclass(frozen=True)
class Measure:
    """What a difference is measured in, and how large it must be."""

    unit: str
    digits: int
    smallest: float
    """The smallest difference that matters."""
    not_worse: bool = False
    """The claim is only that the first is not worse by what matters."""
    units: str = "images"
    """What is resampled beside seeds."""


def examine_claims(context: Context, settings: Claims, inputs: Inputs) -> Findings:
    """Test the paper's claims on the runs of a study.

    Parameters
    ----------
    context
        The models and seeds; all of them must have been evaluated.
    settings
        Which models stand for dropout before the last convolution, what matters, resampling.
    inputs
        ``evaluations``, and the analyses there are of some or all models.

    Raises
    ------
    ReflashError
        An evaluation is missing, or a file is unusable.
    """
    inputs.required(settings.tested_on, "claims")
    data = Data(context, settings, inputs)
    claims = []
    for number, (name, text) in enumerate(claim_texts().items(), start=1):
        parts, missing = TESTS[name](data, text)
        if text.beyond and not parts and not missing:
            continue
        claims.append(
            Claim(
                number=number,
                title=text.title,
                statement=text.statement,
                paper=text.paper,
                evidence=text.evidence,
                parts=tuple(parts),
                missing=tuple(dict.fromkeys(missing)),
                rule=RULE if text.rule == "every" else ONE_RULE,
                verdict=combine(parts, text.rule),
            )
        )
    return Findings(
        study=context.study,
        scale=context.scale,
        evidence=context.evidence,
        warning=evidence_sentence(context),
        seeds=context.seeds,
        confidence=settings.confidence,
        resamples=settings.resamples,
        claims=tuple(claims),
    )


def sensitive_to_dropping(data: Data, text: Text) -> Tested:
    """Dropout inside the body costs PSNR; dropping at test time costs it early."""
    parts = [
        psnr_part(data, text.part("body", family=family), pairs)
        for family in data.families
        if (pairs := data.body_pairs(family))
    ]
    more, missing = dropped_at_test_time(data, text)
    return [*parts, *more], [*([] if parts else [text.need("body")]), *missing]


def dropped_at_test_time(data: Data, text: Text) -> Tested:
    """Networks trained without dropout lose PSNR when features are dropped, and lose it early."""
    keys = ("task", "metric", "ratio", "draw")
    table = data.analysis("sensitivity", "sensitivity", keys, ("value",), "model")
    found = set(table["model"])
    models = [model for family in data.families if (model := f"{family}/none") in found]
    if not models:
        return [], [text.need("sensitivity")]
    classifier = read_classifier(data.inputs.sensitivity)
    wide = classifier.pivot(index="draw", columns="ratio", values="value")
    ratios = wide.columns.to_numpy(np.float64)
    if ratios[0] != 0 or len(ratios) < 2:
        return [], [text.need("ratios")]
    curves = {model: _curves(data, table, model) for model in models}
    falling = [m for m in models if (curves[m][..., 0] > curves[m][..., -1]).all()]
    others = [m for m in models if m not in falling]

    # The unit beside the seed is a random choice of features: the same one for every network.
    in_db = Measure("dB", 2, data.settings.smallest_db, units="random choices")
    about = data.context
    what = f"{about.sensitivity_dimension}s at {layer_label(about.sensitivity_layer)}"
    parts = []
    for key, group in (("dropped", falling), ("risen", others)):
        if group:
            name = text.part(key, per_cent=100 * ratios[1], what=what)
            lost = np.mean([curves[m][..., 0] - curves[m][..., 1] for m in group], axis=0)
            compared = [(f"{model} whole", "dropped") for model in group]
            part = make_part(name, data.estimate(lost), compared, in_db)
            parts.append(part if group is falling else _unjudged(part, text.part("rising")))

    own = curves_area(wide.to_numpy(np.float64), ratios)
    if not falling or not np.isfinite(own).all():
        return parts, [text.need("falling")]
    in_share = Measure("", 3, data.settings.smallest_share, units="random choices")
    name = text.part("sooner")
    areas = [own - curves_area(curves[model], ratios) for model in falling]
    compared = [("classifier", model) for model in falling]
    sooner = data.estimate(np.mean(areas, axis=0))
    return [*parts, make_part(name, sooner, compared, in_share)], []


def _curves(data: Data, table: pd.DataFrame, model: str) -> Array:
    """Return (seeds, draws, ratios) PSNR of a model whose features are dropped."""
    rows = table[table["model"] == model]
    wide = rows.pivot(index=["seed", "draw"], columns="ratio", values="value")
    wide = wide.loc[list(data.context.seeds)]
    return wide.to_numpy(np.float64).reshape(len(data.context.seeds), -1, wide.shape[1])


def curves_area(values: Array, ratios: Array) -> Array:
    """Return the mean height of curves that are stretched to begin at 1 and end at 0.

    Parameters
    ----------
    values : (..., ratios) float
    ratios : (ratios,) float, rising

    Returns
    -------
    (...) float
        Not a number for a curve that does not end below its start.

    Examples
    --------
    >>> float(curves_area(np.array([30.0, 25.0, 20.0]), np.array([0.0, 0.5, 1.0])))
    0.5
    """
    start, end = values[..., :1], values[..., -1:]
    span = np.where(start > end, start - end, np.nan)
    heights = (values - end) / span
    return np.asarray(np.trapezoid(heights, ratios, axis=-1) / (ratios[-1] - ratios[0]))


def last_conv_helps(data: Data, text: Text) -> Tested:
    """Before the last convolution dropout does not hurt, and helps where it is blind."""
    parts = []
    for family, pair in data.last_conv_pairs.items():
        setting = setting_of(pair[0])
        name = text.part(setting, family=family)
        parts.append(psnr_part(data, name, [pair], not_worse=setting == "single"))
    tested = {setting_of(pair[0]) for pair in data.last_conv_pairs.values()}
    missing = [text.need("setting", setting=s) for s in ("single", "multi") if s not in tested]
    small, large = data.last_conv_pairs.get("srresnet/multi"), "rrdb/multi/none"
    if small and large in data.context.models and "rrdb" not in data.context.smaller:
        parts.append(psnr_part(data, text.part("larger"), [(small[0], large)]))
    else:
        missing.append(text.need("larger"))
    return parts, missing


def channel_beats_element(data: Data, text: Text) -> Tested:
    """Whole channels are better dropped than single elements."""
    parts = [
        psnr_part(data, text.part("dimension", family=family), pairs)
        for family in data.families
        if (pairs := data.dimension_pairs(family))
    ]
    return parts, [] if parts else [text.need("dimension")]


def saliency_equalised(data: Data, text: Text) -> Tested:
    """Saliency is shared more evenly, and no channel is indispensable."""
    run = ["model", "seed", "image"]
    saliency = data.analysis("concentration", "saliency", ("image", "layer"), ("gini", "entropy"))
    removed = data.analysis(
        "ablation", "ablate", ("image", "layer", "channel"), ("psnr", "psnr_full")
    )
    removed = removed.assign(loss=removed["psnr_full"] - removed["psnr"])
    worst = removed.groupby(run, sort=False)["loss"].max().reset_index()
    masked = data.analysis(
        "masking", "mask", ("image", "layer", "order", "draw", "masked"), ("psnr",)
    )
    masked = masked[masked["order"] == "saliency"].sort_values("masked")
    curves = masked.groupby(run, sort=False)["psnr"]
    lost = curves.agg(mean_loss).rename("lost").reset_index()
    falls = (curves.first() - curves.last()).groupby("model").mean() > 0

    in_share = Measure("", 3, data.settings.smallest_share)
    in_db = Measure("dB", 2, data.settings.smallest_db)
    parts, missing = [], []
    for command, table, value, lower, measure in (
        ("saliency", saliency, "gini", True, in_share),
        ("saliency", saliency, "entropy", False, in_share),
        ("ablate", worst, "loss", True, in_db),
        ("mask", lost, "lost", True, in_db),
    ):
        pairs = data.analysed_pairs(table)
        if not pairs:
            missing.append(_unanalysed(data, text, f"{command} at {data.settings.layer}"))
            continue
        risen = [pair for pair in pairs if value == "lost" and not falls[list(pair)].all()]
        rest = [pair for pair in pairs if pair not in risen]
        unjudged = {"entropy": text.part("beside"), "risen": text.part("rising")}
        for key, group in ((value, rest), ("risen", risen)):
            if group:
                ordered = _reversed(group) if lower else group
                differences = mean_difference(partial(data.by_image, table, value), ordered)
                part = make_part(text.part(key), data.estimate(differences), ordered, measure)
                parts.append(_unjudged(part, unjudged[key]) if key in unjudged else part)
    return parts, missing


def _unjudged(part: Part, why: str) -> Part:
    """Return a part that is reported and does not count."""
    return part.model_copy(update={"rule": why, "verdict": "not judged"})


def mean_loss(curve: pd.Series) -> float:
    """Return how far a curve lies below its start, mean over its length (trapezoids).

    >>> mean_loss(pd.Series([30.0, 28.0, 20.0]))
    3.5
    """
    values = curve.to_numpy(np.float64)
    return float(values[0] - ((values[1:] + values[:-1]) / 2).mean())


def clusters_mix(data: Data, text: Text) -> Tested:
    """Deep features separate the degradations less.

    An index is compared by its ratio, so the differences are of logarithms.
    """
    parts: dict[str, Part] = {}
    missing, layer = [], data.settings.layer

    def add(key: str, estimate: Estimate, pairs: Sequence[Pair]) -> None:
        """Add a part, unless an index is 0 or infinite, of which there is no ratio."""
        if np.isfinite(estimate.effect):
            parts[key] = _ratio_part(data, text.part(key), estimate, pairs)
        else:
            missing.append(text.need("ratio", index=key, layer=layer))

    def compare(
        key: str,
        index: Callable[[str, int, Array], Array],
        units: int,
        pairs: Sequence[Pair],
    ) -> None:
        """Add the part ``key``: an index of (model, seed) under weights of its images."""

        def logs(weights: Array, model: str) -> Array:
            values = [index(model, seed, weights) for seed in data.context.seeds]
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.log(np.stack(values, axis=1))

        estimate = data.estimate_of(
            lambda weights: mean_difference(partial(logs, weights), _reversed(pairs)),
            units,
        )
        add(key, estimate, pairs)

    paired = data.analysis("paired", "represent", ("layer", "image", "other"), ("product",))
    answers = data.analysed_pairs(paired)
    if answers:
        images = sorted(set(paired["image"]))
        products = {
            key: _symmetric(rows, images)
            for key, rows in paired.groupby(["model", "seed"], sort=False)
        }
        compare(
            "paired",
            lambda model, seed, weights: paired_separation(products[model, seed], weights),
            len(images),
            answers,
        )
    else:
        missing.append(_unanalysed(data, text, f"represent at {layer} (paired)"))
    points = data.analysis("points", "represent", ("layer", "image", "kind"), ("x", "y"))
    pairs = data.analysed_pairs(points)
    if pairs:
        images = same_images(points)
        clouds = {
            (model, seed): rows.pivot(index="image", columns="kind", values=["x", "y"])
            .loc[images]
            .to_numpy(np.float64)
            .reshape(len(images), 2, -1)
            for (model, seed), rows in points.groupby(["model", "seed"], sort=False)
        }
        compare(
            "plane",
            lambda model, seed, weights: weighted_chi(clouds[model, seed], weights),
            len(images),
            pairs,
        )
    else:
        missing.append(_unanalysed(data, text, f"represent at {layer} (points)"))

    chi = data.analysis("chi", "represent", ("layer", "space"), ("chi",))
    chi = chi[chi["space"] == "pca"]
    pairs = data.analysed_pairs(chi)
    if pairs:
        values = chi.set_index(["model", "seed"])["chi"]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [
                [np.log(values[without, seed] / values[model, seed]) for seed in data.context.seeds]
                for model, without in pairs
            ]
        add(
            "components",
            data.estimate(np.mean(ratios, axis=0)[:, None]),
            pairs,
        )
    else:
        missing.append(_unanalysed(data, text, f"represent at {layer} (chi)"))
    if "paired" in parts:
        # The published index counts what images show as spread and cannot see the kinds beside it.
        for key in parts.keys() - {"paired"}:
            parts[key] = _unjudged(parts[key], text.part("published"))
    return list(parts.values()), missing


def _symmetric(rows: pd.DataFrame, images: list[str]) -> Array:
    """Return (images, images) products of which a table has each two images once."""
    half = rows.pivot(index="image", columns="other", values="product")
    half = half.reindex(index=images, columns=images)
    return half.fillna(half.T).to_numpy(np.float64)


def weighted_chi(cloud: Array, weights: Array) -> Array:
    """Return the Calinski-Harabasz index of weighted samples, the kind as label.

    Parameters
    ----------
    cloud : (images, 2, kinds) float
        Coordinates of every image in every kind.
    weights : (B, images) float
        Rows sum to 1; an image has the same weight in every kind.

    Returns
    -------
    (B,) float
        With equal weights scikit-learn's ``calinski_harabasz_score``.
    """
    images, _, kinds = cloud.shape
    flat = cloud.reshape(images, -1)
    centres = (weights @ flat).reshape(len(weights), 2, kinds)
    squares = (weights @ flat**2).reshape(len(weights), 2, kinds)
    within = (squares - centres**2).sum((1, 2))
    between = ((centres - centres.mean(2, keepdims=True)) ** 2).sum((1, 2))
    freedom = (images * kinds - kinds) / (kinds - 1)
    return np.asarray(between / within * freedom)


def cost_is_small(data: Data, text: Text) -> Tested:
    """One dropout layer costs little time and memory, which the paper leaves open."""
    if data.inputs.cost is None:
        return [], [text.need("benchmark")]
    table = read_cost(data.inputs.cost)
    rows = table[(table["where"] == "last_conv") & (table["dimension"] == "channel")]
    limit, parts = 100 * data.settings.cost_limit, []
    for (network, device), group in rows.groupby(["network", "device"], sort=False):
        wanted = data.settings.last_conv.get(f"{network}/multi", 0.5)
        one = group.iloc[int((group["p"] - wanted).abs().to_numpy().argmin())]
        spread = stdtrit(one["rounds"] - 1, (1 + data.settings.confidence) / 2)
        effect, around = 100 * float(one["extra"]), 100 * float(spread * one["extra_error"])
        low, high = (effect - around, effect + around) if around == around else (None, None)
        time = Part(
            name=text.part("time", network=network, device=device),
            effect=effect,
            low=low,
            high=high,
            unit="%",
            digits=1,
            method=f"{spread:.2f} standard errors of {one['rounds']:g} paired rounds; no bootstrap",
            compared=(f"{network} with - without ({one['workload']})",),
            rule=f"supported if the interval lies below {limit:g} %, not supported if it lies "
            "above, else inconclusive",
            verdict=judge(low, high, limit, limit, below=True),
        )
        memory = {
            "name": text.part("memory", network=network, device=device),
            "effect": 100 * float(one["extra_mib"] / (one["peak_mib"] - one["extra_mib"])),
            "low": None,
            "high": None,
            "method": "one measurement",
            "rule": UNJUDGED,
            "verdict": "not judged",
        }
        parts += [time, time.model_copy(update=memory)]
    return parts, [] if parts else [text.need("line")]


def gain_is_low_frequency(data: Data, text: Text) -> Tested:
    """More than half of the gain in PSNR is an error below 1/16 cycles per pixel that is gone."""
    parts, missing = [], []
    targets = text.part("sharpened" if data.context.sharpened else "plain")
    pairs = {f: pair for f, pair in data.last_conv_pairs.items() if f.endswith("/multi")}
    for family, pair in pairs.items():
        bands = data.gain_parts(pair)
        if bands is None:
            missing.append(text.need("bands"))
            continue
        whole = data.estimate(bands.sum(-1))
        # Bands of a gain that is none, or a loss, are no answer to where the gain lies.
        known = whole.low if whole.low == whole.low else whole.effect
        if known <= 0:
            missing.append(text.need("gain", family=family, effect=whole.effect))
            continue
        name = text.part("low", family=family, targets=targets)
        more = data.estimate(bands[..., 0] - bands[..., 1:].sum(-1))
        # Half of the gain is the bound, however large the gain is: of one of 0.04 dB no part of
        # it could differ from the rest by the 0.05 dB that matter elsewhere.
        parts.append(make_part(name, more, [pair], Measure("dB", 3, smallest=0.0)))
    return parts, missing if pairs else [text.need("models")]


def better_than_dropout(data: Data, text: Text) -> Tested:
    """Another regulariser makes a network better than the paper's dropout does."""
    in_db, parts = Measure("dB", 2, data.settings.smallest_db), []
    for (family, kind), pair in data.rivals.items():
        name = text.part("rival", kind=kind, strength=strength_of(pair[0]), family=family)
        differences = mean_difference(data.psnr, [pair])
        estimate = data.estimate(differences, comparisons=len(data.rivals))
        parts.append(make_part(name, estimate, [pair], in_db, comparisons=len(data.rivals)))
    missing: dict[tuple[str, str], list[str]] = {}
    for model, what in data.unrivalled.items():
        missing.setdefault((family_of(model), what), []).append(model)
    wanted = data.settings.last_conv
    return parts, [
        text.need(what, models=listing(models), family=family, p=wanted.get(family, 0.5))
        for (family, what), models in missing.items()
    ]


def helps_in_distribution(data: Data, text: Text) -> Tested:
    """In other tasks dropout helps on levels that were trained."""
    return _helps_tasks(data, text, lambda task: task.inside)


def helps_out_of_distribution(data: Data, text: Text) -> Tested:
    """In other tasks dropout helps on levels beyond those trained."""
    return _helps_tasks(data, text, lambda task: task.outside)


def _helps_tasks(data: Data, text: Text, kinds: Callable[[Task], Sequence[str]]) -> Tested:
    if not any(setting_of(model) in TASKS for model in data.context.models):
        return [], []
    in_db, parts = Measure("dB", 2, data.settings.smallest_db), []
    for family, pair in data.task_pairs.items():
        task = TASKS[setting_of(pair[0])]
        name = text.part("gain", task=task.title, network=family.split("/")[0])
        differences = mean_difference(partial(data.psnr_of, kinds(task)), [pair])
        parts.append(make_part(name, data.estimate(differences), [pair], in_db))
    return parts, [] if parts else [text.need("models")]


TESTS: dict[str, Callable[[Data, Text], Tested]] = {
    test.__name__: test
    for test in (
        sensitive_to_dropping,
        last_conv_helps,
        channel_beats_element,
        saliency_equalised,
        clusters_mix,
        cost_is_small,
        gain_is_low_frequency,
        better_than_dropout,
        helps_in_distribution,
        helps_out_of_distribution,
    )
}
"""The test of each claim by its name in ``texts.yaml``."""

UNJUDGED = "without an interval it is reported and does not count"
"""Rule of a part without an interval."""


def mean_difference(values: Callable[[str], Array], pairs: Sequence[Pair]) -> Array:
    """Return the differences of pairs of models, mean over the pairs."""
    return np.mean([values(a) - values(b) for a, b in pairs], axis=0)


def psnr_part(data: Data, name: str, pairs: Sequence[Pair], not_worse: bool = False) -> Part:
    """Make a part of the PSNR of pairs of models, with the paper's value if it is one pair."""
    measure = Measure("dB", 2, data.settings.smallest_db, not_worse)
    estimate = data.estimate(mean_difference(data.psnr, pairs))
    part = make_part(name, estimate, pairs, measure)
    if len(pairs) > 1 or COMPARABLE_SET not in data.context.test_sets:
        return part
    known = {kind: reference_gain(*pairs[0], COMPARABLE_SET, kind) for kind in KINDS}
    gains = {kind: gain for kind, gain in known.items() if gain is not None}
    if not gains:
        return part
    sources = listing(list(dict.fromkeys(evidence for _, evidence in gains.values())))
    kinds = listing([kind_label(kind) for kind in gains])
    here = partial(data.psnr_of, tuple(gains), test_sets=[COMPARABLE_SET])
    same = data.estimate(mean_difference(here, pairs))
    known_ends = same.low == same.low
    paper = {
        "comparable": same.effect,
        "comparable_low": same.low if known_ends else None,
        "comparable_high": same.high if known_ends else None,
        "paper": round(sum(gain for gain, _ in gains.values()) / len(gains), 6),
        "paper_evidence": f"{sources}; mean of {kinds}; that the images are {COMPARABLE_SET} is "
        "inferred",
    }
    return part.model_copy(update=paper)


def _ratio_part(data: Data, name: str, estimate: Estimate, pairs: Sequence[Pair]) -> Part:
    """Make a part of the logarithm of a ratio: by how many per cent the first is lower."""
    effect, low, high = (
        100 * (1 - float(np.exp(-value)))
        for value in (estimate.effect, estimate.low, estimate.high)
    )
    measure = Measure("%", 1, 100 * data.settings.smallest_ratio)
    shown = replace(estimate, effect=effect, low=low, high=high)
    return make_part(name, shown, _reversed(pairs), measure)


def make_part(
    name: str,
    estimate: Estimate,
    compared: Sequence[Pair],
    measure: Measure,
    comparisons: int = 1,
) -> Part:
    """Make a part of paired differences that the claim says are large, and judge it."""
    smallest, unit = measure.smallest, measure.unit
    support, reject = (-smallest, -smallest) if measure.not_worse else (0.0, smallest)
    known = estimate.low == estimate.low
    low, high = (estimate.low, estimate.high) if known else (None, None)
    ends = f"{support:g} {unit}".strip(), f"{reject:g} {unit}".strip()
    return Part(
        name=name,
        effect=estimate.effect,
        low=low,
        high=high,
        unit=unit,
        digits=measure.digits,
        method=_method(estimate, measure.units)
        + (f", widened for {comparisons} comparisons" if comparisons > 1 else ""),
        compared=tuple(f"{a} - {b}" for a, b in compared),
        rule=(
            f"not supported if the interval lies below {ends[1]}, else supported if it lies above "
            f"{ends[0]}, else inconclusive"
            if known
            else UNJUDGED
        ),
        verdict=judge(low, high, support, reject),
    )


def _method(estimate: Estimate, units: str) -> str:
    """Say what was resampled, and what was not."""
    seeds, count = estimate.seeds, estimate.units
    images = units == "images"
    if seeds == count == 1:
        return "one seed and nothing else to resample: no interval"
    if count == 1:
        return f"paired bootstrap over {seeds} seeds"
    if seeds == 1:
        others = "other seeds" if images else "other seeds and images"
        return f"{ONE_SEED}paired bootstrap over {count} {units} only, says nothing about {others}"
    known = f"paired bootstrap over {seeds} seeds and {count} {units}"
    return known if images else f"{known}, says nothing about other images"


def _reversed(pairs: Sequence[Pair]) -> list[Pair]:
    return [(b, a) for a, b in pairs]


def _unanalysed(data: Data, text: Text, analysis: str) -> str:
    """Say what an analysis of dropout before the last convolution is missing."""
    for model, baseline in data.last_conv_pairs.values():
        return text.need("analysis", analysis=analysis, baseline=baseline, model=model)
    return text.need("models")
