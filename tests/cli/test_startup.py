"""What commands import before they do anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def test_help_formats_itself_without_rich() -> None:
    """Rich takes as long to import as all the rest of `reflash --help`."""
    code = (
        "import sys\nfrom reflash.cli.app import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'rich', 'torch', 'numpy', 'yaml', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_evaluation_imports_nothing_that_draws_or_tabulates(tmp_path: Path) -> None:
    for folder, side in (("hr", 64), ("clean", 16)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(tmp_path / folder / "a.png")
    arguments = ["--weights", "bicubic", "--hr", "hr", "--lr", "clean", "--out", "scores.csv"]
    code = (
        "import sys\nfrom reflash.cli.app import main\n"
        f"try: main(['evaluate', *{arguments}])\nexcept SystemExit: pass\n"
        "unwanted = {'pandas', 'matplotlib', 'sklearn', 'scipy', 'torch._dynamo', 'skimage'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "scores.csv").is_file()
    assert done.stdout.strip().endswith("[]")
