"""Two thousand random inputs: every command ends well or with one line, and half-writes nothing.

Each family makes inputs from a seeded generator: valid ones, then cut, altered or nested wrongly.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save as save_safetensors

from reflash.datasets.manifest import pixel_hash
from reflash.models.build import build_network
from reflash.models.settings import SRResNetSettings, parse_dropout

pytestmark = pytest.mark.slow

PARTS = 10
"""Each family runs in so many tests of ``COUNT`` inputs, which workers share."""

COUNT = 50

SCALES = sorted((Path(__file__).parents[2] / "config/scale").glob("*.yaml"))


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Return bytes cut off, with some replaced, some doubled, or as they are."""
    how = random.integers(0, 6)
    if how == 0 or not data:
        return data
    at = int(random.integers(0, len(data)))
    if how <= 2:
        return data[:at]
    if how == 3:
        noise = random.integers(0, 256, min(16, len(data) - at), dtype=np.uint8).tobytes()
        return data[:at] + noise + data[at + len(noise) :]
    if how == 4:
        return data[:at] + data[at // 2 :]
    return random.integers(0, 256, int(random.integers(0, 300)), dtype=np.uint8).tobytes()


def an_image(random: np.random.Generator) -> tuple[str, bytes]:
    """Return suffix and content of an image of any size, mode and format."""
    height, width = (int(random.integers(1, 70)) for _ in range(2))
    mode = random.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "I", "YCbCr"])
    channels = {"LA": 2, "RGB": 3, "YCbCr": 3, "RGBA": 4, "CMYK": 4}.get(mode, 1)
    values = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif mode in ("F", "I"):
        kind = np.float32 if mode == "F" else np.int32
        image = Image.fromarray(values[..., 0].astype(kind))
    elif mode in ("1", "P"):
        image = Image.fromarray(values[..., 0]).convert(mode)
    else:
        image = Image.frombytes(mode, (width, height), values.tobytes())
    suffix = str(random.choice(["png", "jpg", "tif", "bmp", "webp", "gif"]))
    content = io.BytesIO()
    try:
        image.save(content, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    except (OSError, ValueError):  # a mode this format has not
        image.convert("RGB").save(content, "PNG")
    return str(random.choice([suffix, suffix, suffix.upper(), "png"])), content.getvalue()


def images(random: np.random.Generator, folder: Path) -> list[str]:
    """Degrade or enlarge a folder of some images, one of them damaged."""
    source = folder / "in"
    source.mkdir()
    for number in range(int(random.integers(1, 4))):
        suffix, data = an_image(random)
        (source / f"{number}.{suffix}").write_bytes(damaged(data, random) if number == 0 else data)
    if random.random() < 0.5:
        kind = str(random.choice(["clean", "blur", "jpeg", "noise_jpeg"]))
        return ["degrade", str(source), str(folder / "out"), "--kind", kind]
    return ["upscale", str(source), str(folder / "out"), "--weights", "bicubic"]


def altered(value: Any, random: np.random.Generator) -> Any:
    """Return settings with one of their values replaced by something else, at any depth."""
    odd = [None, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "", "x" * 300, [], {}, True]
    odd += ["../..", {"a": 1}, [1, "b"], "b4-channel-p0.2", "{a,b}", "é\n"]
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = list(value)[int(random.integers(len(value)))]
        if random.random() < 0.1:
            return {**value, f"{key}_": value[key]}
        return {**value, key: altered(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.6:
        at = int(random.integers(len(value)))
        return [*value[:at], altered(value[at], random), *value[at + 1 :]]
    return odd[int(random.integers(len(odd)))]


def configs(random: np.random.Generator, folder: Path) -> list[str]:
    """Check a configuration whose study, scale or choices are altered or damaged."""
    real = SCALES[0].parents[1]
    for kind in ("study", "scale"):
        (folder / kind).mkdir()
        for path in (real / kind).glob("*.yaml"):
            (folder / kind / path.name).write_bytes(path.read_bytes())
    choices: Any = {"study": "main", "scale": str(random.choice([p.stem for p in SCALES]))}
    victim = folder / str(random.choice(["study/main.yaml", f"scale/{choices['scale']}.yaml"]))
    if random.random() < 0.3:
        victim.write_bytes(damaged(victim.read_bytes(), random))
    elif random.random() < 0.8:
        victim.write_text(yaml.safe_dump(altered(yaml.safe_load(victim.read_text()), random)))
    else:
        choices = altered({**choices, "overrides": {"training": {"lr": 0.1}}}, random)
    (folder / "config.yaml").write_text(yaml.safe_dump(choices))
    return ["config", "check", str(folder / "config.yaml")]


def checkpoints(random: np.random.Generator, folder: Path) -> list[str]:
    """Convert weights that are cut, wrapped, or of wrong shapes, types and nesting."""
    network = build_network(SRResNetSettings(features=4, blocks=1), parse_dropout("none"))
    state: dict[str, Any] = {k: v.clone() for k, v in network.state_dict().items()}
    key = list(state)[int(random.integers(len(state)))]
    how = int(random.integers(0, 9))
    if how == 1:
        del state[key]
    elif how == 2:
        state[key] = torch.zeros([int(n) for n in random.integers(0, 5, random.integers(0, 5))])
    elif how == 3:
        state[key] = state[key].to(random.choice(np.array([torch.half, torch.int64, torch.bool])))
    elif how == 4:
        state[key] = state[key] * float(random.choice([np.nan, np.inf, 1e38]))
    elif how == 5:
        state[key] = [None, "text", [1.0], {"a": state[key]}][int(random.integers(4))]
    elif how == 6:
        state = {
            f"{random.choice(['module.', 'model.', 'net_g.', 'x.'])}{k}": v
            for k, v in state.items()
        }
    elif how == 7:
        state[f"{key}.extra"] = torch.zeros(2)
    nested: Any = state
    for _ in range(int(random.integers(0, 4))):
        name = str(random.choice(["params", "params_ema", "state_dict", "model", "generator", "?"]))
        nested = [nested] if random.random() < 0.1 else {name: nested, "epoch": 3}
    suffix = str(random.choice([".pth", ".pt", ".ckpt", ".PTH", ".safetensors", ".bin"]))
    buffer = io.BytesIO()
    flat = nested is state and all(isinstance(v, torch.Tensor) for v in state.values())
    if flat and random.random() < 0.4:
        data = save_safetensors({k: v.contiguous() for k, v in state.items()})
    elif random.random() < 0.1:
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.txt", "no weights")
        data = buffer.getvalue()
    else:
        torch.save(nested, buffer)
        data = buffer.getvalue()
    weights = folder / f"net{suffix}"
    weights.write_bytes(damaged(data, random))
    return ["convert", str(weights), str(folder / f"out{random.choice(['.safetensors', '.pth'])}")]


def manifests(random: np.random.Generator, folder: Path) -> list[str]:
    """Cache images whose manifest is altered: lines lost, doubled, cut, other values."""
    source = folder / "in"
    source.mkdir()
    rows = ["name,file,width,height,sha256_rgb8"]
    for number in range(2):
        values = random.integers(0, 256, (9, 8, 3), dtype=np.uint8)
        Image.fromarray(values).save(source / f"{number}.png")
        rows.append(f"{number},{number}.png,8,9,{pixel_hash(values)}")
    how = int(random.integers(0, 6))
    if how == 1:
        rows.pop(int(random.integers(len(rows))))
    elif how == 2:
        rows.append(rows[-1])
    elif how == 3:
        odd = ["1", ",,,,", "1,../1.png,a,b,c", "1,no.png,1,1,x", '"', "1,1.png,-8,9,", "é" * 300]
        rows[-1] = str(random.choice(odd))
    data = ("\n".join(rows) + "\n").encode()
    (source / "manifest.csv").write_bytes(damaged(data, random) if how == 4 else data)
    return ["data", "cache", str(source), str(folder / "out")]


FAMILIES: dict[str, Callable[[np.random.Generator, Path], list[str]]] = {
    "images": images,
    "configs": configs,
    "checkpoints": checkpoints,
    "manifests": manifests,
}


def leftovers(folder: Path) -> Iterator[Path]:
    """Temporary and empty files that a command left."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        ours = path.is_file() and inside[0].startswith("out")
        if ours and (".tmp" in path.name or path.stat().st_size == 0):
            yield path


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("family", FAMILIES)
def test_any_input_ends_well_or_in_one_line(
    family: str, part: int, tmp_path: Path, reflash: Callable[..., Any]
) -> None:
    fine = 0
    for number in range(COUNT):
        random = np.random.default_rng([part, number, *family.encode()])
        folder = tmp_path / str(number)
        folder.mkdir()
        command = FAMILIES[family](random, folder)
        outcome = reflash(*command)
        where = f"{family} {part} {number}: {' '.join(command)}\n{outcome.err}"
        assert outcome.status in (0, 1), where
        assert "Traceback" not in outcome.err, where
        if outcome.status:
            said = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
            assert len(said) == 1, where
        assert not list(leftovers(folder)), where
        fine += outcome.status == 0
    assert 0 < fine < COUNT  # both ends are met
