"""Table: every placement, dimension and probability against the same network without dropout."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from reflash.degradations.settings import KINDS
from reflash.models.names import (
    baseline_of,
    dropout_of,
    is_external,
    network_of,
    place_label,
    regularisers_of,
    setting_of,
)
from reflash.paper.scores import (
    MEAN,
    gains,
    image_counts,
    metric_name,
    metric_sentence,
    over_seeds,
    perfect_sentence,
    read_scores,
)
from reflash.paper.tables.layout import (
    Cell,
    Column,
    Layout,
    Row,
    number,
    rank_marks,
    section,
    shown_sets,
)
from reflash.study.artefacts import DropoutGrid
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences, sets_phrase

NAME = "dropout_grid"
MEASURES = ("clean", MEAN)
BLOCK = ["network", "setting", "kinds"]


def gather(
    context: Context, settings: DropoutGrid, evaluations: Iterable[Path | str]
) -> pd.DataFrame:
    """Average the evaluations of every placement and compare with no dropout.

    Parameters
    ----------
    context
        The models shown, the seeds and the test sets.
    settings
        What the study declares.
    evaluations
        CSV files of ``reflash evaluate``; every run of the context must be in them.

    Returns
    -------
    pandas.DataFrame
        Tidy: network, setting, where, dimension, p, model, set, kinds (``clean``, or ``mean`` of
        all eight), the metric (``psnr`` in dB, or the one chosen) and std over seeds, gain and
        gain_std over the same network and setting without dropout (empty where that is not among
        the models), seeds, images, perfect (images reproduced exactly), mark (best and second, as
        printed, of one network, setting, set and kinds).

    Raises
    ------
    ReflashError
        A file is missing or empty, or a run was not evaluated (see ``read_scores``).
    """
    scores = read_scores(evaluations, context, settings.metric, KINDS, bicubic=False)
    scores = scores[scores["kind"].isin(MEASURES)]
    means = over_seeds(scores)
    lines = []
    for model in sorted(context.models, key=lambda m: _order(m, context)):
        baseline = baseline_of(model)
        gain = {}
        if baseline in context.models:
            gain = over_seeds(gains(scores, model, str(baseline)))
        for test_set in context.test_sets:
            for kinds in MEASURES:
                key = test_set, model, kinds
                own, more = means[key], gain.get(key)
                lines.append(
                    _placement(model)
                    | {
                        "model": model,
                        "set": test_set,
                        "kinds": kinds,
                        settings.metric: own.mean,
                        "std": own.std,
                        "gain": more.mean if more else float("nan"),
                        "gain_std": more.std if more else float("nan"),
                        "seeds": own.seeds,
                        "images": own.images,
                        "perfect": own.perfect,
                    }
                )
    frame = pd.DataFrame(lines)
    return mark(frame.assign(mark=""), settings)


def mark(frame: pd.DataFrame, settings: DropoutGrid) -> pd.DataFrame:
    """Mark the best and second of every block and set, as printed."""
    for _, group in frame.groupby([*BLOCK, "set"], sort=False):
        frame.loc[group.index, "mark"] = rank_marks(group[settings.metric], settings.digits)
    return frame


def _order(model: str, context: Context) -> tuple[int, int, int]:
    """Sort key: network and setting as they first appear, without dropout first, then as given."""
    family = [(network_of(m), setting_of(m)) for m in context.models]
    own = family.index((network_of(model), setting_of(model)))
    return own, int(baseline_of(model) is not None), context.models.index(model)


def _placement(model: str) -> dict[str, object]:
    layers, others = dropout_of(model), regularisers_of(model)

    places = [layer.where for layer in layers] + [one.name for one in others]
    strengths = [layer.p for layer in layers] + [one.strength for one in others]

    def joined(values: list[str]) -> str:
        return "+".join(values if len(set(values)) > 1 else values[:1])

    return {
        "network": network_of(model),
        "setting": setting_of(model),
        "where": "+".join(places) or "none",
        "dimension": joined([layer.dimension for layer in layers]),
        "p": joined([f"{strength:g}" for strength in strengths]),
    }


def arrange(frame: pd.DataFrame, context: Context, settings: DropoutGrid) -> Layout:
    """Arrange the frame of ``gather`` as it is printed.

    A block per network and setting with the mean over the eight degradations; the single setting,
    which was trained on clean bicubic images, has a block on clean images before it.
    """
    sets = shown_sets(frame, settings, NAME)
    rows: list[Row] = []
    for keys, block in frame.groupby(BLOCK, sort=False):
        network, setting, kinds = map(str, keys)
        if kinds == "clean" and setting != "single":
            continue
        measure = "clean images" if kinds == "clean" else f"mean of the {len(KINDS)} degradations"
        if is_external(network):
            heading = f"{context.label(network)}, not trained here: {measure}"
        else:
            network_label = context.network_label(network, setting)
            network_label = network if "/" in network_label else network_label
            heading = f"{network_label}, {setting}-degradation setting: {measure}"
        rows.append(section(heading))
        for _, group in block.groupby("model", sort=False):
            rows.append(_row(group.to_dict("records"), sets, settings))
    columns = [Column(name=n, numeric=False) for n in ("where", "dimension", "p")]
    for name in sets:
        columns += [
            Column(name=metric_name(settings.metric), group=name),
            Column(name="gain", group=name),
        ]
    once, images = frame["kinds"] == MEAN, image_counts(frame)
    caption = sentences(
        metric_sentence(settings.metric, context),
        perfect_sentence(int(frame.loc[once, "perfect"].sum())),
        "Gain: over the same network and setting without dropout, from unrounded values.",
        f"Test sets: {sets_phrase({name: images[name] for name in sets})}.",
        seeds_sentence(context),
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title="Where, what and how much to drop",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _row(lines: list[dict[Hashable, Any]], sets: list[str], settings: DropoutGrid) -> Row:
    first = lines[0]
    where = " + ".join(place_label(place) for place in str(first["where"]).split("+"))
    p = "" if first["p"] != first["p"] else str(first["p"])  # empty, read back from the CSV
    cells = [Cell(text=text) for text in (where, str(first["dimension"]), p)]
    by_set = {line["set"]: line for line in lines}
    for name in sets:
        line = by_set[name]
        value = number(line[settings.metric], line["std"], settings.digits)
        cells.append(Cell(text=value, mark=line["mark"]))
        gain = number(line["gain"], line["gain_std"], settings.digits, sign=True)
        cells.append(Cell(text=gain))
    return Row(cells=tuple(cells))
