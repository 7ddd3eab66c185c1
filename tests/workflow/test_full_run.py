"""The whole study from an empty folder: everything it declares comes out, made of that run."""

from __future__ import annotations

import html
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from project_copy import Project, small_study

from reflash.datasets.images import read_rgb, write_png
from reflash.datasets.photos import sample_photos
from reflash.paper.tables.registry import print_again
from reflash.study.config import load
from reflash.study.plan import Plan
from reflash.study.runs import artefact_context
from tex_document import set_tables

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


@pytest.fixture(scope="module")
def plan(finished: Project) -> Plan:

    values = yaml.safe_load((finished.folder / "config/config.yaml").read_text())

    return Plan(load({**values, "scale": "tiny"}, finished.folder / "config"))


def evaluations(finished: Project) -> pd.DataFrame:
    files = (finished.folder / "results/tiny/runs").rglob("evaluation/*.csv")
    return pd.concat(pd.read_csv(path) for path in files)


def test_every_declared_artefact_is_there_and_not_empty(finished: Project, plan: Plan) -> None:
    figures, tables = plan.artefacts("figures"), plan.artefacts("tables")
    assert figures
    assert tables
    for name in figures:
        for suffix in ("csv", "json", "pdf", "png"):
            path = finished.folder / f"figures/tiny/{name}.{suffix}"
            assert path.stat().st_size > 100, path
        with Image.open(finished.folder / f"figures/tiny/{name}.png") as image:
            pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 5, f"{name} is blank"
    for name in tables:
        for suffix in ("csv", "json", "md", "tex"):
            path = finished.folder / f"results/tiny/tables/{name}.{suffix}"
            assert path.stat().st_size > 100, path
    page = (finished.folder / "results/tiny/report/index.html").read_text()
    for name in (*figures, *tables):
        assert f"{name}.csv" in page


def test_the_small_study_declares_every_artefact_of_the_paper(root: Path, plan: Plan) -> None:
    paper = Plan(load({"study": "paper"}, root / "config"))
    for kind in ("tables", "figures"):
        assert set(plan.artefacts(kind)) == set(paper.artefacts(kind))


def test_every_run_is_evaluated_on_every_set_and_kind(finished: Project, plan: Plan) -> None:
    table = evaluations(finished)
    runs = {"bicubic", *plan.all_runs}
    assert set(table.run) == runs
    counts = table.groupby(["run", "set", "kind"]).size()
    assert len(counts) == len(runs) * len(plan.test_sets) * 8
    assert set(counts) == {2}  # images at this scale


def test_tables_and_bars_hold_the_means_of_this_run(finished: Project) -> None:
    means = evaluations(finished).groupby(["run", "kind"]).psnr.mean()
    bars = pd.read_csv(finished.folder / "figures/tiny/teaser_bars.csv")
    table = pd.read_csv(finished.folder / "results/tiny/tables/multi_degradation.csv")
    table = table[(table["row"] == "model") & (table["kind"] != "mean")]
    assert len(bars)
    assert len(table)
    for row in [*bars.itertuples(), *table.itertuples()]:
        run = row.model if row.model == "bicubic" else f"{row.model}/seed0"
        assert row.value == pytest.approx(means[run, row.kind], abs=1e-5)


def test_curves_hold_the_logs_of_this_run(finished: Project) -> None:
    curves = pd.read_csv(finished.folder / "figures/tiny/training_curves.csv")
    for (model, kind), rows in curves.groupby(["model", "kind"]):
        log = pd.read_csv(finished.folder / f"results/tiny/runs/{model}/seed0/log.csv")
        np.testing.assert_allclose(rows.psnr, log[f"psnr_{kind}"], atol=1e-5)
        assert list(rows.iteration) == [10, 20]


def test_captions_say_that_this_is_no_evidence(finished: Project) -> None:
    paths = [
        *(finished.folder / "figures/tiny").glob("*.json"),
        *(finished.folder / "results/tiny/tables").glob("*.json"),
    ]
    assert len(paths) > 15
    for path in paths:
        if path.stem == "cost":
            assert "a measurement of record, not of this run" in path.read_text()
        else:
            assert "no evidence about the paper" in path.read_text(), path.name


def curves(folder: Path) -> dict[int, float]:
    """PSNR by iteration of the TensorBoard events in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("psnr")}


def test_the_same_run_gives_the_same_weights(project: Project) -> None:
    """Training again in a copy of the folder, watched by TensorBoard, gives the same bytes."""
    run = "results/tiny/runs/rrdb/multi/none/seed0/params.safetensors"
    before = (project.folder / run).read_bytes()
    (project.folder / run).unlink()
    watched = ("--config", "scale=tiny", "overrides={training: {tensorboard: true}}")
    project.snakemake(run, *watched)
    assert (project.folder / run).read_bytes() == before
    log = pd.read_csv((project.folder / run).with_name("log.csv")).set_index("iteration")["psnr"]
    events = project.folder / "results/tiny/tensorboard/rrdb/multi/none/seed0"
    assert curves(events) == pytest.approx(log.to_dict(), abs=1e-4)

    # Those trained before get their curves from their logs.
    shown = project.run("reflash", "runs", "--results", "results/tiny", "--tensorboard", "curves")
    assert "curves: runs with curves: 10" in shown.stdout
    same = curves(project.folder / "curves/rrdb/multi/none/seed0")
    assert same == pytest.approx(curves(events), abs=1e-4)


def test_mistakes_stop_before_any_work(project: Project) -> None:
    result = project.snakemake("--config", "scale=tiny", "overrides={trainin: {}}", check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "config/scale/tiny.yaml with overrides: trainin: unknown key" in output
    assert "Traceback" not in output


def test_the_report_of_snakemake_holds_the_results(project: Project, plan: Plan) -> None:
    """Every table and figure under its title, with the caption that lies beside it."""
    project.snakemake("--report", "report.zip")
    with zipfile.ZipFile(project.folder / "report.zip") as archive:
        inside = {Path(name).name for name in archive.namelist()}
        shown = archive.read("report/report.html").decode()
    figures, tables = plan.artefacts("figures"), plan.artefacts("tables")
    assert {*(f"{f}.png" for f in figures), *(f"{t}.csv" for t in tables)} < inside
    assert {"claims.json", "index.html"} < inside
    text = html.unescape(re.sub(r"<[^>]+>", "", shown))
    stems = [*map(plan.files.figure, figures), *map(plan.files.table, tables)]
    for stem in stems:
        meta = json.loads((project.folder / f"{stem}.json").read_text(encoding="utf-8"))
        assert json.dumps(meta["title"]) in shown
        assert meta["caption"].split(". ")[-2] in text
    assert "docutils.utils" not in shown
    assert "system-message" not in shown


def test_a_study_of_ones_own_on_ones_own_images(project: Project, tmp_path: Path) -> None:
    for name, photo in list(sample_photos().items())[:2]:
        write_png(tmp_path / "own" / f"my {name}.png", read_rgb(photo)[:98, :99])
    own = f"{{source: folder, folder: {tmp_path / 'own'}}}"
    overrides = f"overrides={{test_sets: {{photos: null, own: {own}}}}}"
    models = ["srresnet/multi/{none,b8-channel-p0.2,b12-channel-p0.2}"]  # one is new
    shown = ("dropout_grid", "claims", "positions_multi", "saliency_maps")
    study = small_study("Where does dropout help my images?", models, *shown)
    (project.folder / "config/study/mine.yaml").write_text(study)
    project.snakemake("--config", "scale=tiny", "study=mine", overrides)
    plan = Plan(load({"scale": "tiny", "study": "mine"}, project.folder / "config"))
    assert len(plan.models) == 3
    table = pd.read_csv(project.folder / "results/tiny/mine/tables/dropout_grid.csv")
    assert {"own"} == set(table["set"])
    claims = json.loads((project.folder / "results/tiny/mine/claims.json").read_text())
    assert claims
    assert set(plan.artefacts("figures")) == {"positions_multi", "saliency_maps"}
    for name in plan.artefacts("figures"):
        assert (project.folder / f"figures/tiny/mine/{name}.pdf").stat().st_size > 100
    assert (
        "Where does dropout help"
        in (project.folder / "results/tiny/mine/report/index.html").read_text()
    )
    assert (project.folder / "results/tiny/report/index.html").is_file()  # the other study's stays


def test_tables_are_set_by_latex_and_printed_again_from_their_csv(
    finished: Project, plan: Plan, tmp_path: Path
) -> None:
    tables = {}
    for name in plan.artefacts("tables"):
        stem = finished.folder / plan.files.table(name)
        settings = plan.artefact("tables", name)
        context = artefact_context(plan, "tables", name, finished.folder)
        print_again(name, f"{stem}.csv", context, settings, tmp_path / name)
        for suffix in (".md", ".tex", ".json"):
            again = (tmp_path / f"{name}{suffix}").read_bytes()
            assert again == stem.with_suffix(suffix).read_bytes(), name
        tables[name] = stem.with_suffix(".tex").read_text()
    pages, complaints = set_tables(tables, tmp_path)
    assert complaints == []
    assert pages == len(tables)
