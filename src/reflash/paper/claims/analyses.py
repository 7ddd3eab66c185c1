"""Testing the claims about what dropout does inside a network, and what it costs.

A function per claim, as in ``reflash.paper.claims.tests``.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pandas as pd

from reflash.paper.analyses import same_images
from reflash.paper.claims.data import Array, Data, Pair
from reflash.paper.claims.model import Part, judge
from reflash.paper.claims.parts import Tested, difference_part, ratio_part
from reflash.paper.costs import read_cost


def saliency_equalised(data: Data) -> Tested:
    """Claim 4: saliency is shared more evenly, and no channel is indispensable."""
    layer, share = data.settings.layer, data.settings.smallest_share
    keys = ["model", "seed", "image"]
    concentration = data.analysis(
        "concentration", "saliency", ("image", "layer"), ("gini", "entropy")
    )
    ablation = data.analysis(
        "ablation", "ablate", ("image", "layer", "channel"), ("psnr", "psnr_full")
    )
    areas = data.analysis("masking_area", "mask", ("image", "order", "draw"), ("area",))
    if concentration is not None:
        concentration = concentration[concentration["layer"] == layer]
    if ablation is not None:
        ablation = ablation[ablation["layer"] == layer]
        ablation = ablation.assign(loss=ablation["psnr_full"] - ablation["psnr"])
        ablation = ablation.groupby(keys, sort=False)["loss"].max().reset_index()
    if areas is not None:
        areas = areas[areas["order"] == "saliency"]
        areas = areas.groupby(keys, sort=False)["area"].mean().reset_index()
    measures = (
        (
            "saliency",
            "Gini coefficient of saliency, lower by",
            concentration,
            "gini",
            -1,
            "",
            share,
        ),
        (
            "saliency",
            "normalised entropy of saliency, higher by",
            concentration,
            "entropy",
            1,
            "",
            share,
        ),
        (
            "ablate",
            "loss by the worst channel, lower by",
            ablation,
            "loss",
            -1,
            "dB",
            data.settings.smallest_db,
        ),
        ("mask", "area under the masking curve, larger by", areas, "area", 1, "", share),
    )
    parts, missing = [], []
    for command, name, table, value, sign, unit, smallest in measures:
        pairs = _analysed(data, table)
        if table is None or not pairs:
            missing.append(_what_is_missing(data, f"{command} at {layer}"))
            continue
        differences = sign * np.mean(
            [data.by_image(table, value, a) - data.by_image(table, value, b) for a, b in pairs],
            axis=0,
        )
        ordered = pairs if sign > 0 else [(b, a) for a, b in pairs]
        digits = 2 if unit else 3
        parts.append(difference_part(data, name, differences, ordered, unit, digits, smallest))
    return parts, list(dict.fromkeys(missing))


def clusters_mix(data: Data) -> Tested:
    """Claim 5: the degradations are less separate in deep features."""
    parts, missing = [], []
    layer, smallest = data.settings.layer, 100 * data.settings.smallest_ratio
    points = data.analysis("points", "represent", ("layer", "image", "kind"), ("x", "y"))
    if points is not None:
        points = points[points["layer"] == layer]
    pairs = _analysed(data, points)
    if points is not None and pairs:
        images = same_images(points)
        clouds = {
            (model, seed): rows.pivot(index="image", columns="kind", values=["x", "y"])
            .loc[images]
            .to_numpy(np.float64)
            .reshape(len(images), 2, -1)
            for (model, seed), rows in points.groupby(["model", "seed"], sort=False)
        }

        def per_seed(weights: Array) -> Array:
            columns = []
            for seed in data.context.seeds:
                logs = [
                    np.log(weighted_chi(clouds[b, seed], weights))
                    - np.log(weighted_chi(clouds[a, seed], weights))
                    for a, b in pairs
                ]
                columns.append(np.mean(logs, axis=0))
            return np.stack(columns, axis=1)

        name = "index in the plane (t-SNE), lower by"
        estimate = data.estimate_of(per_seed, len(images), name)
        parts.append(ratio_part(data, name, estimate, pairs, smallest))
    else:
        missing.append(_what_is_missing(data, f"represent at {layer} (points)"))
    chi = data.analysis("chi", "represent", ("layer", "space"), ("chi",))
    if chi is not None:
        chi = chi[(chi["layer"] == layer) & (chi["space"] == "pca")]
    pairs = _analysed(data, chi)
    if chi is not None and pairs:
        values = chi.set_index(["model", "seed"])["chi"]
        logs = [
            [np.log(values[b, seed] / values[a, seed]) for seed in data.context.seeds]
            for a, b in pairs
        ]
        name = "index on principal components, lower by"
        estimate = data.estimate(np.mean(logs, axis=0)[:, None], name)
        parts.append(ratio_part(data, name, estimate, pairs, smallest))
    else:
        missing.append(_what_is_missing(data, f"represent at {layer} (chi)"))
    return parts, missing


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


def cost_is_small(data: Data) -> Tested:
    """Claim 6, which the paper leaves open: time and memory of one dropout layer."""
    if data.inputs.cost is None:
        return [], ["the benchmark of dropout's cost (cost.csv)"]
    table = read_cost(data.inputs.cost)
    rows = table[(table["where"] == "last_conv") & (table["dimension"] == "channel")]
    limit, parts = 100 * data.settings.cost_limit, []
    spread = NormalDist().inv_cdf((1 + data.settings.confidence) / 2)
    for (network, device), group in rows.groupby(["network", "device"], sort=False):
        wanted = data.settings.last_conv.get(f"{network}/multi", 0.5)
        nearest = int((group["p"] - wanted).abs().to_numpy().argmin())
        one = group.iloc[nearest]
        effect, around = 100 * float(one["extra"]), 100 * spread * float(one["extra_error"])
        low, high = (effect - around, effect + around) if around == around else (None, None)
        parts.append(
            Part(
                name=f"extra time of a training iteration, {network} on {device}",
                effect=effect,
                low=low,
                high=high,
                unit="%",
                digits=1,
                method=f"{spread:.2f} standard errors of paired rounds; no bootstrap",
                compared=(f"{network} with - without ({one['workload']})",),
                rule=f"supported if the interval lies below {limit:g} %, not supported if it lies "
                "above, else inconclusive",
                verdict=judge(low, high, limit, limit, below=True),
            )
        )
        parts.append(
            Part(
                name=f"extra memory of training, {network} on {device}",
                effect=100 * float(one["extra_mib"] / (one["peak_mib"] - one["extra_mib"])),
                low=None,
                high=None,
                unit="%",
                digits=1,
                method="one measurement",
                compared=(f"{network} with - without ({one['workload']})",),
                rule="without an interval it is reported and does not count",
                verdict="not judged",
            )
        )
    missing = "a line of channel dropout before the last convolution in cost.csv"
    return parts, [] if parts else [missing]


def _analysed(data: Data, table: pd.DataFrame | None) -> list[Pair]:
    """Return the pairs for dropout before the last convolution that an analysis has."""
    pairs = [pair for family in data.families if (pair := data.last_conv_pair(family))]
    return [p for p in pairs if all(data.complete(table, model) for model in p)]


def _what_is_missing(data: Data, analysis: str) -> str:
    pairs = [pair for family in data.families if (pair := data.last_conv_pair(family))]
    if not pairs:
        return "models such as srresnet/multi/{none,last_conv-channel-p0.7}"
    return f"reflash {analysis} of {' and '.join(pairs[0][::-1])}"
