"""A small dataset named Toy, in place of the registry's, here and in processes that tests start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reflash.datasets import fetch as fetch_module
from reflash.datasets import verify as verify_module
from reflash.datasets.images import list_images, read_rgb, write_png
from reflash.datasets.manifest import describe
from reflash.datasets.registry import Dataset
from reflash.datasets.registry import find as real_find

NAMES = [f"im{i:02d}" for i in range(6)]


def make_images(folder: Path) -> Path:
    """Write the images of Toy, of 40 x 56 pixels of noise, about 7 kB each."""
    rng = np.random.default_rng(5)
    for name in NAMES:
        write_png(folder / f"{name}.png", rng.integers(0, 256, (40, 56, 3), dtype=np.uint8))
    return folder


def install(
    folder: Path,
    sources: list[dict[str, Any]],
    put: Callable[[Any, str, Any], None] = setattr,
    **values: Any,
) -> None:
    """Make ``fetch`` and ``verify`` know Toy: the images of ``folder``, from ``sources``."""
    dataset = Dataset.model_validate(
        {"images": len(NAMES), "split": "test", "terms": "None.", "accept_terms": False}
        | {"sources": sources, "manifests": ["Toy"]}
        | values
    )
    manifest = [describe(p.name, read_rgb(p))._replace(file="") for p in list_images(folder)]
    shipped = {"Toy": manifest} if dataset.manifests else {}
    for module in (fetch_module, verify_module):
        put(module, "find", lambda name: dataset if name == "Toy" else real_find(name))
        put(module, "shipped_manifests", lambda name: shipped)


def start_fetch(
    images: Path,
    sources: list[dict[str, Any]],
    raw: Path,
    before: str = "",
    values: dict[str, Any] | None = None,
    **options: Any,
) -> subprocess.Popen[str]:
    """Start a process that fetches Toy into ``raw``, after running the code ``before``."""
    code = (
        "import json, sys, os\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import toy_set\n"
        "images, sources, raw, values = json.loads(sys.argv[1])\n"
        "toy_set.install(Path(images), sources, **values)\n"
        "from reflash.datasets import fetch, download, unpack, folder\n"
        "from reflash.core.errors import ReflashError\n"
        f"{before}\n"
        "network = download.Network(back_off=0.05, stall_timeout=5, retries=2)\n"
        "try:\n"
        "    fetch.fetch('Toy', None, raw, network=network)\n"
        "except ReflashError as error:\n"
        "    sys.exit(f'error: {error}')\n"
    )
    given = json.dumps([str(images), sources, str(raw), values or {}])
    return subprocess.Popen(
        [sys.executable, "-c", code, given], stderr=subprocess.PIPE, text=True, **options
    )
