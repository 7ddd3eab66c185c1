"""Table: how separate the degradations are in deep features (Calinski-Harabasz index)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reflash.models.names import baseline_of
from reflash.paper.analyses import layer_label, read_analysis
from reflash.paper.tables.layout import (
    EMPTY,
    Cell,
    Column,
    Layout,
    Row,
    digits_for,
    number,
    rank_marks,
)
from reflash.study.artefacts import Chi
from reflash.study.context import Context, crop_phrase, scale_sentence, seeds_sentence, sentences

NAME = "chi"

PAIRED_SENTENCE = (
    "Paired: on principal components with the mean over the degradations taken off each image, "
    "over the degrees of freedom that are left, so that what images show does not count; this one "
    "answers, because images differ more from each other than an image does between degradations, "
    "which the two others take for spread."
)
RESIDUAL_SENTENCE = (
    "SRResNet adds the upsampled input to its output (a global residual), RRDB does not; the "
    "group's earlier work says that only with it features separate."
)

SPACES = {"pca": "PCA", "tsne": "t-SNE", "paired": "paired"}


def gather(context: Context, settings: Chi, chi: Iterable[Path | str]) -> pd.DataFrame:
    """Average the index over seeds and compare with no dropout.

    Parameters
    ----------
    context
        The models shown and the seeds.
    settings
        What the study declares.
    chi
        CSV files of ``reflash represent``; every run of the context must be in them.

    Returns
    -------
    pandas.DataFrame
        Tidy: one line per model, row (``model``, or ``gain``: the relative change against the
        model named in ``against``, geometric mean over seeds), layer and space (pca, tsne or
        paired), with value and std over seeds, chance (the index with kinds shuffled within
        images), seeds, images (per degradation), kinds, components, mark (best is lowest).

    Raises
    ------
    ReflashError
        A file is missing or empty, or a run was not analysed.
    """
    table = read_analysis(
        chi,
        context,
        "represent",
        ("layer", "space"),
        ("chi", "images", "kinds", "components", "chance"),
    )
    layers = list(dict.fromkeys(table["layer"]))
    lines: list[dict[str, object]] = []
    for model in context.models:
        own = table[table["model"] == model]
        baseline = baseline_of(model)
        other = table[table["model"] == baseline].set_index(["layer", "space", "seed"])["chi"]
        key = {"model": model, "label": context.label(model)}
        gains: list[dict[str, object]] = []
        for layer in layers:
            for space in SPACES:
                rows = own[(own["layer"] == layer) & (own["space"] == space)]
                if rows.empty:
                    continue
                line: dict[str, object] = {"layer": layer, "space": space, "seeds": len(rows)}
                line["chance"] = float(rows["chance"].mean())
                line |= {n: int(rows[n].iloc[0]) for n in ("images", "kinds", "components")}
                lines.append(key | {"row": "model", "against": ""} | _stats(rows["chi"]) | line)
                before = other.reindex([(layer, space, seed) for seed in rows["seed"]])
                if len(other) and before.notna().all():
                    with np.errstate(divide="ignore", invalid="ignore"):
                        ratios = np.log(rows["chi"].to_numpy() / before.to_numpy())
                    gain = {"row": "gain", "against": baseline, "value": np.expm1(ratios.mean())}
                    gains.append(key | gain | line)
        lines += gains
    frame = pd.DataFrame(lines)
    frame["mark"] = ""
    shown = frame[frame["row"] == "model"]
    for _, group in shown.groupby(["layer", "space"], sort=False):
        frame.loc[group.index, "mark"] = rank_marks(-group["value"], digits_for(group["value"]))
    return frame


def _stats(values: pd.Series) -> dict[str, object]:
    return {"value": float(values.mean()), "std": float(values.std())}


def arrange(frame: pd.DataFrame, context: Context, settings: Chi) -> Layout:
    """Arrange the frame of ``gather`` as it is printed: a pair of columns per layer."""
    keys = list(dict.fromkeys(zip(frame["layer"], frame["space"], strict=True)))
    columns = [Column(name="model", numeric=False)]
    columns += [Column(name=SPACES[space], group=layer_label(layer)) for layer, space in keys]
    shown = frame[frame["row"] == "model"]
    digits = {key: digits_for(group["value"]) for key, group in shown.groupby(["layer", "space"])}
    rows = []
    for (_, kind), group in frame.groupby(["model", "row"], sort=False):
        lines = {(line["layer"], line["space"]): line for line in group.to_dict("records")}
        found = [(lines.get(key), digits[key]) for key in keys]
        rows.append(_row(str(kind), found, context))
    first = frame.iloc[0]
    place = f" of {context.representation_set}" if context.representation_set else ""
    part = crop_phrase(context.representation_crop, "the largest crop they share")
    caption = sentences(
        "Calinski-Harabasz index of deep features with the degradation as label, on principal "
        "components (PCA) and in the plane (t-SNE): lower is less separated by degradation.",
        PAIRED_SENTENCE,
        "In brackets: the index by chance, with kinds shuffled within each image.",
        RESIDUAL_SENTENCE,
        f"{first['images']} images{place} ({part}) in each "
        f"of {first['kinds']} degradations, {frame['components'].max()} components.",
        "Change: over the same network and setting without dropout, geometric mean over seeds, "
        "from unrounded values.",
        seeds_sentence(context),
        "The paper's values were not found; that dropout lowers the index is restated by "
        "others about the paper.",
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title="Separation of the degradations in deep features (CHI)",
        caption=caption,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _row(
    kind: str, found: Sequence[tuple[dict[Hashable, Any] | None, int]], context: Context
) -> Row:
    """Make a row of lines (None where there is none) and the decimals they are printed with."""
    known = [line for line, _ in found if line is not None]
    if kind == "gain":
        name = f"change over {context.label(known[0]['against'])}"
        return Row(kind="gain", cells=(Cell(text=name), *(_change(line) for line, _ in found)))
    cells = [
        Cell(text=EMPTY)
        if line is None
        else Cell(
            text=f"{number(line['value'], line['std'], digits)} "
            f"({number(line['chance'], digits=digits)})",
            mark=line["mark"],
        )
        for line, digits in found
    ]
    return Row(cells=(Cell(text=str(known[0]["label"])), *cells))


def _change(line: dict[Hashable, Any] | None) -> Cell:
    if line is None:
        return Cell(text=EMPTY)
    change = line["value"]
    known = np.isfinite(change)
    return Cell(text=f"{number(100 * change, digits=1, sign=True)} %" if known else EMPTY)
