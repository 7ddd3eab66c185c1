"""A figure is drawn from its CSV and JSON alone, always with the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.models.settings import SRResNetSettings
from reflash.paper import figures
from reflash.paper.figures.drawing import Drawing, read_drawing, redraw, write_figure
from reflash.paper.figures.dropout_placements import gather as gather_placements
from reflash.paper.figures.registry import FIGURES, figure_module
from reflash.paper.figures.training_curves import gather as gather_curves
from reflash.study.artefacts import (
    DropoutPlacements,
    Figures,
    FigureStyle,
    TrainingCurves,
)

PLAIN = "srresnet/multi/none"
STYLE = FigureStyle(dpi=100)


@pytest.fixture(scope="module")
def bars():
    frame = pd.DataFrame(
        {
            "group": [0, 1],
            "kind": ["clean", "jpeg"],
            "model": PLAIN,
            "label": "SRResNet",
            "value": [25 + 1 / 3, 24.0],
            "std": [0.25, 0.1],
            "seeds": 2,
            "images": 3,
            "paper": np.nan,
            "paper_evidence": "",
        }
    )
    return Drawing("teaser_bars", frame, "Bars", "A caption.", "Alt.", {"metric": "psnr"})


@pytest.fixture(scope="module")
def bars_folder(bars, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bars")
    write_figure(bars, folder / "teaser_bars", STYLE)
    return folder


@pytest.fixture
def written(bars_folder, tmp_path):
    """Path without suffix of a figure that may be changed."""
    shutil.copytree(bars_folder, tmp_path / "written")
    return tmp_path / "written" / "teaser_bars"


@pytest.fixture
def curves(tmp_path, make_context):
    log = tmp_path / "log.csv"
    table = pd.DataFrame({"iteration": [100, 200], "psnr": [20.1, 23.7]})
    table.insert(0, "run", f"{PLAIN}/seed0")
    table.to_csv(log, index=False)
    return gather_curves(make_context(models=(PLAIN,)), TrainingCurves(), [log])


@pytest.fixture
def placements(make_context):
    return gather_placements(make_context(), DropoutPlacements(), SRResNetSettings(blocks=4))


@pytest.fixture
def crops():
    rng = np.random.default_rng(0)
    images = {f"0-{i}.png": rng.integers(0, 256, (32, 32, 3), np.uint8) for i in range(3)}
    frame = pd.DataFrame(
        {
            "row": 0,
            "column": range(3),
            "role": ["image", "hr", "sr"],
            "model": ["", "", PLAIN],
            "label": ["ant", "HR", "None"],
            "image": "ant",
            "kind": "clean",
            "x": 4,
            "y": 8,
            "size": 16,
            "width": 32,
            "height": 32,
            "psnr": [np.nan, np.nan, 27.123456789],
            "file": list(images),
        }
    )
    return Drawing("visual_comparison", frame, "Crops", "A caption.", "Alt.", images=images)


ALL = ["bars", "curves", "placements", "crops"]


def test_a_declaration_and_a_module_are_all_a_figure_is():
    """Every declared figure has its module, and every such module is declared."""
    for name in Figures.model_fields:
        assert name == figure_module(name).NAME
        assert list(signature(figure_module(name).draw).parameters) == ["drawing", "style"]
        needs = Figures.model_fields[name].annotation.__args__[0].inputs
        given = list(signature(figure_module(name).gather).parameters)
        assert given == ["context", "settings", *needs]
    files = Path(figures.__file__).parent.glob("*.py")
    modules = {path.stem: import_module(f"{figures.__name__}.{path.stem}") for path in files}
    modules = {name for name, module in modules.items() if hasattr(module, "gather")}
    assert modules == set(FIGURES) == set(Figures.model_fields)


def test_unknown_figure_is_named():
    with pytest.raises(ReflashError, match="'teaser': no such figure; there are: .*teaser_bars"):
        figure_module("teaser")


@pytest.mark.parametrize("name", ALL)
def test_drawn_again_from_csv_and_json_it_has_the_same_bytes(tmp_path, request, name):
    drawing = request.getfixturevalue(name)
    stem = tmp_path / "first" / drawing.name
    write_figure(drawing, stem, STYLE)
    redraw(stem.with_suffix(".csv"), tmp_path / "second" / "again")
    for suffix in (".png", ".pdf"):
        first = stem.with_suffix(suffix).read_bytes()
        assert first == (tmp_path / "second" / f"again{suffix}").read_bytes()
    assert sorted(p.name for p in (tmp_path / "second").iterdir()) == ["again.pdf", "again.png"]


def test_bytes_do_not_depend_on_the_process_or_the_day(tmp_path, written):
    code = (
        "import sys; from reflash.paper.figures.drawing import redraw; "
        "redraw(sys.argv[1], sys.argv[2])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    arguments = [f"{written}.csv", str(tmp_path / "again")]
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True)
    for suffix in (".png", ".pdf"):
        ours = written.with_suffix(suffix).read_bytes()
        assert ours == (tmp_path / f"again{suffix}").read_bytes()
    assert b"CreationDate" not in written.with_suffix(".pdf").read_bytes()


def test_a_changed_csv_changes_the_picture(tmp_path, written):
    before = written.with_suffix(".png").read_bytes()
    frame = pd.read_csv(f"{written}.csv")
    frame.loc[0, "value"] += 0.5
    frame.to_csv(f"{written}.csv", index=False)
    redraw(f"{written}.csv", tmp_path / "changed")
    assert (tmp_path / "changed.png").read_bytes() != before


def test_pdf_is_vector_with_embedded_truetype_fonts(written):
    pdf = written.with_suffix(".pdf").read_bytes()
    assert b"/FontFile2" in pdf  # a TrueType font program
    assert b"/Type3" not in pdf
    assert b"/Subtype /Image" not in pdf


def test_style_sets_resolution_and_width(tmp_path, bars):
    style = FigureStyle(dpi=150, width=3.0)
    write_figure(bars, tmp_path / "teaser_bars", style)
    with Image.open(tmp_path / "teaser_bars.png") as image:
        assert image.width == 450
    redraw(tmp_path / "teaser_bars.csv", tmp_path / "other", FigureStyle(dpi=72, width=5.0))
    with Image.open(tmp_path / "other.png") as image:
        assert image.width == 360


def test_json_holds_title_caption_and_style(written):
    meta = json.loads(written.with_suffix(".json").read_text())
    assert [meta[key] for key in ("name", "title", "caption", "alt")] == [
        "teaser_bars",
        "Bars",
        "A caption.",
        "Alt.",
    ]
    assert meta["options"] == {"metric": "psnr"}
    assert FigureStyle.model_validate(meta["style"]) == STYLE


def test_csv_reads_back_as_it_was(tmp_path, crops):
    """Empty text stays empty, and a label "None" is a label."""
    write_figure(crops, tmp_path / "visual_comparison", STYLE)
    again, style = read_drawing(tmp_path / "visual_comparison.csv")
    pd.testing.assert_frame_equal(again.frame, crops.frame, check_dtype=False)
    for file, image in crops.images.items():
        np.testing.assert_array_equal(again.images[file], image)
    assert (again.title, again.caption, again.alt, style) == ("Crops", "A caption.", "Alt.", STYLE)


def test_images_of_an_earlier_drawing_are_removed(tmp_path, crops):
    stem = tmp_path / "visual_comparison"
    write_figure(crops, stem, STYLE)
    fewer = {file: image for file, image in crops.images.items() if file != "0-1.png"}
    frame = crops.frame[crops.frame["file"] != "0-1.png"]
    write_figure(replace(crops, frame=frame, images=fewer), stem, STYLE)
    assert sorted(p.name for p in stem.iterdir()) == ["0-0.png", "0-2.png"]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_missing_file_is_named(tmp_path, written, suffix):
    written.with_suffix(suffix).unlink()
    with pytest.raises(ReflashError, match=rf"teaser_bars\{suffix}: no such file"):
        redraw(written.with_suffix(".csv"), tmp_path / "again")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "teaser_bars"}'])
def test_broken_json_is_named(tmp_path, written, text):
    written.with_suffix(".json").write_text(text)
    with pytest.raises(ReflashError, match=r"teaser_bars\.json: does not describe a figure"):
        redraw(written.with_suffix(".csv"), tmp_path / "again")


@pytest.mark.parametrize("text", ["", "group,kind\n"])
def test_empty_csv_is_named(tmp_path, written, text):
    written.with_suffix(".csv").write_text(text)
    with pytest.raises(ReflashError, match=r"teaser_bars\.csv: (cannot be read|has no rows)"):
        redraw(written.with_suffix(".csv"), tmp_path / "again")
