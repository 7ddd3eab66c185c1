"""The notebook runs from its first cell to its last, in a folder of its own."""

from __future__ import annotations

import base64
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

if find_spec("nbclient") is None or find_spec("ipykernel") is None:
    pytest.skip("notebooks run with nbclient and ipykernel", allow_module_level=True)

import nbformat


@pytest.fixture
def tour(root: Path) -> Any:
    return nbformat.read(root / "notebooks/tour.ipynb", as_version=4)


def test_it_is_stored_without_outputs_and_installs_in_one_cell(tour: Any) -> None:
    nbformat.validate(tour)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert [number for number, cell in enumerate(code) if "%pip" in cell.source] == [0]
    assert "no evidence about the paper" in " ".join(tour.cells[0].source.split())


@pytest.mark.slow
def test_it_runs_and_shows_its_pictures(
    tour: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(tour, timeout=300, kernel_name="python3", resources=resources).execute()
    pictures = [
        output.data["image/png"]
        for cell in tour.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 7
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert np.asarray(image.convert("L")).std() > 5
    printed = "".join(o.text for c in tour.cells for o in c.get("outputs", []) if "text" in o)
    losses = re.findall(r"loss (0\.\d+) after", printed)
    assert len(losses) == 2
    assert all(float(loss) < 0.2 for loss in losses)
