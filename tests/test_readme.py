"""The commands of the README are run as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reflash.datasets.images import write_png
from warm_commands import warm_commands


@pytest.mark.slow
def test_each_step_by_itself(root: Path, tmp_path: Path, photo_like: np.ndarray) -> None:
    text = (root / "README.md").read_text().split("## Each step by itself")[1]
    script = text.split("```")[1]
    assert script.count("reflash ") == 12
    (tmp_path / "config").symlink_to(root / "config")
    for name in ("one", "two"):
        write_png(tmp_path / f"photos/{name}.png", photo_like[:120, :120])
    path = os.pathsep.join(
        [str(warm_commands()), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": path,
            "BASH_ENV": str(warm_commands() / "functions"),
            "PYTHONPATH": str(root / "src"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for made in (
        "run/params.safetensors",
        "scores.csv",
        "upscaled/one.png",
        "saliency/saliency.csv",
        "ablation.csv",
        "clusters/chi.csv",
    ):
        assert (tmp_path / made).is_file()
