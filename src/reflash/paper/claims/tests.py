"""Testing the paper's claims: a function per claim, from a study's numbers to parts.

Each returns the parts that could be made, and a line for each that could not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reflash.models.names import setting_of
from reflash.paper.analyses import read_classifier, read_runs
from reflash.paper.claims.analyses import clusters_mix, cost_is_small, saliency_equalised
from reflash.paper.claims.data import Array, Data
from reflash.paper.claims.model import RULE, Claim, Findings, combine
from reflash.paper.claims.parts import Tested, difference_part, psnr_part
from reflash.paper.claims.texts import TEXTS
from reflash.study.artefacts import Claims
from reflash.study.context import Context, evidence_sentence
from reflash.study.inputs import Inputs


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
    tests: dict[str, Callable[[Data], Tested]] = {
        test.__name__: test
        for test in (
            sensitive_to_dropping,
            last_conv_helps,
            channel_beats_element,
            saliency_equalised,
            clusters_mix,
            cost_is_small,
        )
    }
    claims = []
    for text in TEXTS:
        parts, missing = tests[text.name](data)
        claims.append(
            Claim(
                number=text.number,
                title=text.title,
                statement=text.statement,
                paper=text.paper,
                evidence=text.evidence,
                parts=tuple(parts),
                missing=tuple(missing),
                rule=RULE,
                verdict=combine(parts),
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


def sensitive_to_dropping(data: Data) -> Tested:
    """Claim 1: dropout inside the body costs PSNR; dropping at test time costs it early."""
    parts, missing = [], []
    for family in data.families:
        pairs = data.body_pairs(family)
        if pairs:
            losses = np.mean([data.psnr(b) - data.psnr(a) for a, b in pairs], axis=0)
            name = f"loss of PSNR by dropout inside the body, {family}"
            parts.append(psnr_part(data, name, losses, [(b, a) for a, b in pairs]))
    if not parts:
        missing.append(
            "models with dropout inside the body beside the same network without, such as "
            "srresnet/single/{none,b8-channel-p0.2}"
        )
    more, absent = _dropped_at_test_time(data)
    return [*parts, *more], [*missing, *absent]


def _dropped_at_test_time(data: Data) -> Tested:
    table = _sensitivity(data) if data.inputs.sensitivity else {}
    models = [model for family in data.families if (model := f"{family}/none") in table]
    if not models:
        return [], ["reflash sensitivity of a model without dropout"]
    classifier = read_classifier(data.inputs.sensitivity)
    wide = classifier.pivot(index="draw", columns="ratio", values="value")
    ratios = wide.columns.to_numpy(np.float64)
    if ratios[0] != 0 or len(ratios) < 2:
        return [], ["reflash sensitivity with ratio 0 and others"]
    settings, units = data.settings, "random choices"
    lost = np.mean([table[m][..., 0] - table[m][..., 1] for m in models], axis=0)
    name = f"loss of PSNR when {100 * ratios[1]:g} % of the features are dropped at test time"
    compared = [(f"{model} whole", "dropped") for model in models]
    parts = [
        difference_part(data, name, lost, compared, "dB", 2, settings.smallest_db, units=units)
    ]
    areas = [curves_area(table[model], ratios) for model in models]
    own = curves_area(wide.to_numpy(np.float64), ratios)
    if not all(np.isfinite(area).all() for area in (*areas, own)):
        return parts, ["reflash sensitivity with ratios at which values fall"]
    differences = np.mean([own - area for area in areas], axis=0)
    name = "area by which PSNR falls sooner than the classifier's accuracy"
    compared = [("classifier", model) for model in models]
    share = settings.smallest_share
    parts.append(difference_part(data, name, differences, compared, "", 3, share, units=units))
    return parts, []


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
    """
    start, end = values[..., :1], values[..., -1:]
    span = np.where(start > end, start - end, np.nan)
    heights = (values - end) / span
    return np.asarray(np.trapezoid(heights, ratios, axis=-1) / (ratios[-1] - ratios[0]))


def last_conv_helps(data: Data) -> Tested:
    """Claim 2: before the last convolution dropout does not hurt, and helps where it is blind."""
    parts, missing = [], []
    for family in data.families:
        pair = data.last_conv_pair(family)
        if pair is None:
            continue
        gain = data.psnr(pair[0]) - data.psnr(pair[1])
        if setting_of(pair[0]) == "single":
            name = f"gain of dropout before the last conv (not to hurt), {family}"
            parts.append(psnr_part(data, name, gain, [pair], not_worse=True))
        else:
            name = f"gain of dropout before the last conv, {family}"
            parts.append(psnr_part(data, name, gain, [pair]))
    for setting in ("single", "multi"):
        if not any(part.name.endswith(f"/{setting}") for part in parts):
            missing.append(f"models such as srresnet/{setting}/{{none,last_conv-channel-p0.5}}")
    small, large = data.last_conv_pair("srresnet/multi"), "rrdb/multi/none"
    if small and large in data.context.models:
        pair = (small[0], large)
        differences = data.psnr(small[0]) - data.psnr(large)
        name = "SRResNet with dropout less RRDB without, multi"
        parts.append(psnr_part(data, name, differences, [pair]))
    else:
        missing.append("models srresnet/multi/{none,last_conv-channel-p0.7} and rrdb/multi/none")
    return parts, missing


def channel_beats_element(data: Data) -> Tested:
    """Claim 3: whole channels are better dropped than single elements."""
    parts = []
    for family in data.families:
        pairs = data.dimension_pairs(family)
        if pairs:
            differences = np.mean([data.psnr(a) - data.psnr(b) for a, b in pairs], axis=0)
            name = f"channel less element dropout, {family}"
            parts.append(psnr_part(data, name, differences, pairs))
    missing = "models that differ in nothing else, such as srresnet/multi/last_conv-"
    return parts, [] if parts else [f"{missing}{{channel,element}}-p0.5"]


def _sensitivity(data: Data) -> dict[str, Array]:
    """Return (seeds, draws, ratios) PSNR of every model of which all seeds are there."""
    keys = ("task", "metric", "ratio", "draw")
    table = read_runs(
        data.inputs.sensitivity, data.context, "sensitivity", keys, ("value",), "model"
    )
    curves = {}
    for model, rows in table.groupby("model", sort=False):
        if data.complete(table, str(model)):
            wide = rows.pivot(index=["seed", "draw"], columns="ratio", values="value")
            wide = wide.loc[list(data.context.seeds)]
            shape = (len(data.context.seeds), -1, wide.shape[1])
            curves[str(model)] = wide.to_numpy(np.float64).reshape(shape)
    return curves
