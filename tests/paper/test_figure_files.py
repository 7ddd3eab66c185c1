"""Every figure is made through its declared inputs, and drawn again from its CSV byte by byte."""

from __future__ import annotations

import json

import numpy as np
import pytest

from reflash.core.errors import ReflashError
from reflash.datasets.images import write_png
from reflash.paper.figures.drawing import make_figure, redraw
from reflash.paper.figures.registry import FIGURES
from reflash.paper.tables.registry import TABLES, make_table
from reflash.study.artefacts import Figures, FigureStyle, Tables
from reflash.study.inputs import Inputs

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/b8-channel-p0.2"
SINGLE = ("srresnet/single/none", "srresnet/single/b8-element-p0.2")
MODELS = (PLAIN, DROPPED)
STYLE = FigureStyle(dpi=72)
RUNS = [f"{model}/seed0" for model in MODELS]


def settings_of(declared, name):
    return declared.model_fields[name].annotation.__args__[0]()


@pytest.fixture
def inputs(tmp_path, write_rows, write_evaluation):
    rng = np.random.default_rng(0)
    rows = {
        "saliency": [
            (r, "ant", la, c, c + 1.0) for r in RUNS for la in ("b1", "last") for c in (0, 1)
        ],
        "concentration": [(r, "ant", la, 0.5, 0.5) for r in RUNS for la in ("b1", "last")],
        "ablation": [(r, "ant", "last", c, 25.0 - c, 26.0) for r in RUNS for c in (0, 1)],
        "masking": [
            (r, "ant", "last", o, 0, m, 25.0 - m)
            for r in RUNS
            for o in ("natural", "saliency")
            for m in (0, 1, 2)
        ],
        "masking_area": [(r, "ant", o, 0, 0.5) for r in RUNS for o in ("natural", "saliency")],
        "points": [
            (r, "last", i, k, *rng.normal(size=2))
            for r in RUNS
            for i in "ab"
            for k in ("clean", "jpeg")
        ],
        "chi": [(r, "last", s, 1.5, 2, 2, 2, 1.0) for r in RUNS for s in ("pca", "tsne")],
        "sensitivity": [
            *[("sr", r, x, 0, "psnr", 25 - x) for r in RUNS for x in (0.0, 0.5)],
            *[("classification", "digits_cnn", x, 0, "accuracy", 1 - x) for x in (0.0, 0.5)],
        ],
    }
    columns = {
        "saliency": "run,image,layer,channel,saliency",
        "concentration": "run,image,layer,gini,entropy",
        "ablation": "run,image,layer,channel,psnr,psnr_full",
        "masking": "run,image,layer,order,draw,masked,psnr",
        "masking_area": "run,image,order,draw,area",
        "points": "run,layer,image,kind,x,y",
        "chi": "run,layer,space,chi,images,kinds,components,chance",
        "sensitivity": "task,model,ratio,draw,metric,value",
    }
    tables = {name: [write_rows(name, columns[name], rows[name])] for name in rows}
    folders = {}
    for index, model in enumerate(("bicubic", *MODELS)):
        folders[model] = tmp_path / f"maps{index}"
        folders[model].mkdir()
        maps = {layer: rng.uniform(0, 1, (3, 8, 8)) for layer in ("b1", "last")}
        np.savez(folders[model] / "ant.npz", **maps)
        write_png(folders[model] / "ant.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
    write_png(tmp_path / "real/ant.png", rng.integers(0, 256, (16, 16, 3), np.uint8))
    evaluations = [
        write_evaluation(f"{model}/seed0", [25.0 + index])
        for index, model in enumerate((*MODELS, *SINGLE))
    ]
    return Inputs(
        evaluations=evaluations,
        maps={model: folders[model] for model in MODELS},
        features={model: folders[model] for model in MODELS},
        sr=folders,
        real=tmp_path / "real",
        **tables,
    )


@pytest.mark.parametrize(
    "name",
    [
        "positions_single",
        "positions_multi",
        "feature_maps",
        "saliency_maps",
        "saliency_distribution",
        "channel_ablation",
        "progressive_masking",
        "degradation_clusters",
        "feature_drop_sensitivity",
        "real_world",
    ],
)
def test_drawn_again_from_its_files_it_has_the_same_bytes(tmp_path, make_context, inputs, name):
    models = SINGLE if name == "positions_single" else MODELS
    stem = tmp_path / "out" / name
    make_figure(name, make_context(models=models), settings_of(Figures, name), inputs, STYLE, stem)
    redraw(stem.with_suffix(".csv"), tmp_path / "again")
    for suffix in (".png", ".pdf"):
        ours = stem.with_suffix(suffix).read_bytes()
        assert ours == (tmp_path / f"again{suffix}").read_bytes()
    meta = json.loads(stem.with_suffix(".json").read_text())
    assert "Demo scale: no evidence about the paper." in meta["caption"]
    assert meta["alt"]


@pytest.mark.parametrize("name", [n for n in FIGURES if n != "dropout_placements"])
def test_a_figure_without_its_inputs_names_them(tmp_path, make_context, name):
    need = settings_of(Figures, name).inputs[0]
    with pytest.raises(ReflashError, match=f"figure {name}: needs {need}, and the study has none"):
        make_figure(
            name, make_context(), settings_of(Figures, name), Inputs(), STYLE, tmp_path / name
        )


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_its_inputs_names_them(tmp_path, make_context, name):
    settings = settings_of(Tables, name)
    with pytest.raises(ReflashError, match=f"table {name}: needs {settings.inputs[0]}, and"):
        make_table(name, make_context(), settings, Inputs(), tmp_path / name)


@pytest.mark.parametrize(("declared", "known"), [(Figures, FIGURES), (Tables, TABLES)])
def test_every_artefact_is_declared_and_asks_for_inputs_there_are(declared, known):
    assert set(declared.model_fields) == set(known)
    for name in known:
        needs = settings_of(declared, name).inputs
        assert needs
        assert all(need in Inputs.__dataclass_fields__ for need in needs)


def test_claims_ask_for_inputs_there_are():
    claims = settings_of(Tables, "claims")
    assert {*claims.tested_on, *claims.used} <= set(Inputs.__dataclass_fields__)
