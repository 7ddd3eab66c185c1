"""Table: every regulariser and strength against none and the paper's dropout."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reflash.degradations.settings import KINDS
from reflash.models.names import baseline_of
from reflash.paper.analyses import layer_label, read_analysis
from reflash.paper.claims.bootstrap import estimate, interval_name
from reflash.paper.claims.data import last_conv_pairs
from reflash.paper.regularisers import best_validated, family_of, kind_of, strength_of
from reflash.paper.scores import metric_sentence, read_images, same_images
from reflash.paper.tables.layout import (
    EMPTY,
    Cell,
    Column,
    Layout,
    Row,
    interval_ends,
    number,
    rank_marks,
    section,
)
from reflash.study.artefacts import Regularisers
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences

NAME = "regularisers"


def gather(
    context: Context,
    settings: Regularisers,
    evaluations: Sequence[Path | str],
    logs: Sequence[Path | str],
    concentration: Sequence[Path | str],
    chi: Sequence[Path | str],
) -> pd.DataFrame:
    """Compare the models of each network.

    Returns
    -------
    pandas.DataFrame
        A row per model: family (network and setting), kind, strength, model, label, psnr and clean
        (dB, mean over the eight degradations, and of clean), best (whether validation chooses this
        strength of its kind), gain, gain_low, gain_high over ``none`` and over_dropout,
        over_dropout_low, over_dropout_high over the paper's dropout (interval: paired
        bootstrap; empty where there is no such model, or the model is it), gini (of channel
        saliency) and chi (paired), seeds, images.

    Raises
    ------
    ReflashError
        A file is missing, or a run was not evaluated, logged or analysed.
    """
    psnr = read_images(evaluations, context, "psnr", KINDS)
    clean = read_images(evaluations, context, "psnr", ("clean",))
    best = best_validated(logs, context)
    saliency = read_analysis(concentration, context, "saliency", ("image", "layer"), ("gini",))
    same_images(saliency)
    index = read_analysis(chi, context, "represent", ("layer", "space"), ("chi",))
    index = index[index["space"] == "paired"]
    ginis, chis = (
        table[table["layer"] == settings.layer].groupby("model")[column].mean()
        for table, column in ((saliency, "gini"), (index, "chi"))
    )
    dropout = {
        family: pair[0] for family, pair in last_conv_pairs(context.models, context.claims).items()
    }
    lines = []
    for model in context.models:
        family, kind = family_of(model), kind_of(model)
        line: dict[str, object] = {"family": family, "kind": kind, "strength": strength_of(model)}
        line |= {"model": model, "label": context.label(model)}
        line |= {"psnr": float(psnr[model].mean()), "clean": float(clean[model].mean())}
        line["best"] = best[family, kind] == model
        others = {"gain": baseline_of(model), "over_dropout": dropout.get(family)}
        for name, other in others.items():
            if other is None or other == model or other not in psnr:
                continue
            found = estimate(psnr[model] - psnr[other], context.claims)
            line |= {name: found.effect, f"{name}_low": found.low, f"{name}_high": found.high}
        line |= {"gini": ginis.get(model), "chi": chis.get(model)}
        lines.append(line | {"seeds": psnr[model].shape[0], "images": psnr[model].shape[1]})
    ends = [f"{name}{end}" for name in ("gain", "over_dropout") for end in ("", "_low", "_high")]
    columns = ["family", "kind", "strength", "model", "label", "psnr", "clean", "best", *ends]
    frame = pd.DataFrame(lines).reindex(columns=[*columns, "gini", "chi", "seeds", "images"])
    frame["mark"] = ""
    for _, group in frame.groupby("family", sort=False):
        frame.loc[group.index, "mark"] = rank_marks(group["psnr"])
    return frame


def arrange(frame: pd.DataFrame, context: Context, settings: Regularisers) -> Layout:
    """Arrange the frame of ``gather``: a block for each network, a row for each model."""
    rows: list[Row] = []
    for family, group in frame.groupby("family", sort=False):
        rows.append(section(str(family)))
        rows += [_row(line) for line in group.to_dict("records")]
    layer = layer_label(settings.layer)
    columns = (
        Column(name="regulariser", numeric=False),
        Column(name="strength"),
        Column(name="clean", group="PSNR"),
        Column(name="all", group="PSNR"),
        Column(name="over none", group="gain"),
        Column(name="over dropout", group="gain"),
        Column(name="Gini", group=layer),
        Column(name="CHI", group=layer),
    )
    images = int(frame["images"].iloc[0])
    caption = sentences(
        metric_sentence("psnr", context),
        f"Clean, and mean of the eight degradations; {images} images.",
        "Gains: of the mean, from unrounded values; in brackets the "
        f"{interval_name(context.claims.confidence)}, paired bootstrap over seeds and images "
        "(one seed: images only). Dropout: the paper's, channels before the last conv.",
        "Chosen: the strength with the highest validation PSNR of its kind; the claims compare "
        "that of every other regulariser with the paper's dropout, in intervals widened for the "
        "number of comparisons.",
        "Gini coefficient of channel saliency: lower is more even. CHI, paired: lower is less "
        "separated by degradation.",
        "What a strength means: docs/regularisers.md. The paper compares with none of these.",
        seeds_sentence(context, ""),
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title="Regularisers beside dropout",
        caption=caption,
        columns=columns,
        rows=tuple(rows),
    )


def _row(line: dict[Hashable, Any]) -> Row:
    texts = [
        line["kind"],
        f"{line['strength'] or EMPTY}{', chosen' if line['best'] and line['strength'] else ''}",
        number(line["clean"]),
        number(line["psnr"]),
        _gain(line, "gain"),
        _gain(line, "over_dropout"),
        number(line["gini"], digits=3),
        number(line["chi"], digits=2),
    ]
    marks = ["", "", "", line["mark"], "", "", "", ""]
    cells = (Cell(text=t, mark=m) for t, m in zip(texts, marks, strict=True))
    return Row(cells=tuple(cells))


def _gain(line: dict[Hashable, Any], name: str) -> str:
    effect, low, high = (line[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{number(effect, sign=True)} {interval_ends(low, high)}".rstrip()
