"""Table: SEAL's measures on Set14 in a hundred degradations, beside the published models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from reflash.paper.reference.seal import AUTHORS, MEASURES, published_models, seal_measures
from reflash.paper.seal import CONVENTION, OURS, PUBLISHED, degradations_sentence, read_seal
from reflash.paper.tables.layout import Column, Layout, Row, number, plain_row, section
from reflash.study.artefacts import Seal
from reflash.study.context import Context, scale_sentence, seeds_sentence, sentences

NAME = "seal"


def gather(context: Context, settings: Seal, seal: Iterable[Path | str]) -> pd.DataFrame:
    """Compute the measures of every run, and of the published models on the same degradations.

    Returns
    -------
    pandas.DataFrame
        Tidy: source (this study, or published by SEAL), model, label, measure, value and std (over
        seeds), seeds, degradations.

    Raises
    ------
    ReflashError
        See `reflash.paper.seal.read_seal`.
    """
    scores = read_seal(context, seal, published_models())
    count = scores["degradation"].nunique()
    lines = []
    keys = ["source", "model", "label"]
    for key, of_model in scores.groupby(keys, sort=False):
        values = pd.DataFrame([seal_measures(one) for _, one in of_model.groupby("seed")])
        for measure in MEASURES:
            column = values[measure]
            numbers = {"value": column.mean(), "std": column.std(), "seeds": len(column)}
            line = dict(zip(keys, key, strict=True)) | {"measure": measure}
            lines.append(line | numbers | {"degradations": count})
    return pd.DataFrame(lines)


def arrange(frame: pd.DataFrame, context: Context, settings: Seal) -> Layout:
    """Arrange the frame of ``gather`` as it is printed: our models, then the published ones."""
    count = int(frame["degradations"].iloc[0])
    of = "as published" if count == 100 else "on the same degradations"
    titles = {OURS: "this study", PUBLISHED: f"computed from SEAL's published PSNR, {of}"}
    rows: list[Row] = []
    for source, of_source in frame.groupby("source", sort=False):
        rows.append(section(titles[str(source)]))
        for label, lines in of_source.groupby("label", sort=False):
            by = lines.set_index("measure")
            values = [
                number(by["value"][name], by["std"][name], 4 if name == "ssim_s" else 2)
                for name in MEASURES
            ]
            rows.append(plain_row(str(label), *values))
    caption = sentences(
        degradations_sentence(count),
        CONVENTION,
        "AR: share of degradations at or above the acceptance line (an FSRCNN trained for each); "
        "RPR: sigmoid of the distance from it in units of its distance to the excellence line (an "
        "SRResNet trained for each); RPR_I: its interquartile range, RPR_A and RPR_U: its mean "
        "over accepted and not accepted degradations.",
        seeds_sentence(context),
        f"Published: PSNR and SSIM by degradation, seen in SEAL's repository; {AUTHORS} is the "
        "paper's own model (inferred from its name). SEAL's README states for it AR 0.08, RPR_I "
        "0.23, RPR_A 0.63, RPR_U 0.21; its PSNR give 0.09, 0.24, 0.64, 0.21.",
        scale_sentence(context),
    )
    return Layout(
        name=NAME,
        title="SEAL's measures on Set14",
        caption=caption,
        columns=(
            Column(name="model", numeric=False),
            *(Column(name=name) for name in MEASURES.values()),
        ),
        rows=tuple(rows),
    )
