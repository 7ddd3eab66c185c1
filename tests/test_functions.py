"""The package's own functions give what the parts behind them give, and refuse what they must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import reflash
from reflash.cli.app import main
from reflash.core import devices
from reflash.core.errors import ReflashError
from reflash.datasets.images import write_png
from reflash.evaluation.metrics import psnr
from reflash.evaluation.upscalers import open_upscaler
from reflash.models.build import build_network
from reflash.models.settings import Dropout, SRResNetSettings
from reflash.models.weights import save_weights


@pytest.fixture
def networks() -> dict[str, nn.Module]:
    """Raw and averaged weights of one small network."""
    made = {}
    for seed, key in enumerate(("params", "params_ema")):
        torch.manual_seed(seed)
        made[key] = build_network(SRResNetSettings(features=4, blocks=1), Dropout()).eval()
    return made


@pytest.fixture
def weights(networks: dict[str, nn.Module], tmp_path: Path) -> Path:
    """A file that holds both."""
    path = tmp_path / "both.pth"
    torch.save({key: network.state_dict() for key, network in networks.items()}, path)
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)


@pytest.mark.parametrize("key", ["params", "params_ema"])
def test_a_file_and_the_network_in_it_give_the_same(
    networks: dict[str, nn.Module], weights: Path, image: np.ndarray, key: str
) -> None:
    network = networks[key]
    options = {"key": key, "device": "cpu"}
    wanted = open_upscaler(weights, key, device="cpu")(image)  # type: ignore[arg-type]
    assert np.array_equal(reflash.upscale(weights, image, **options), wanted)  # type: ignore[arg-type]
    assert np.array_equal(reflash.upscale(network, image, device="cpu"), wanted)
    of_file = reflash.saliency(weights, image, **options)  # type: ignore[arg-type]
    of_network = reflash.saliency(network, image, device="cpu")
    assert list(of_file) == ["first", "b1", "hr", "last"]
    for layer, maps in of_file.items():
        assert np.array_equal(maps, of_network[layer])
        assert maps.max() == 1
    hr = np.repeat(np.repeat(image, 4, 0), 4, 1)
    without, whole = reflash.ablate(weights, image, hr, **options)  # type: ignore[arg-type]
    assert np.array_equal(without, reflash.ablate(network, image, hr, device="cpu")[0])
    assert (without.shape, whole) == ((4,), pytest.approx(psnr(wanted, hr, crop=0)))


def test_raw_or_averaged_weights_are_evaluated(
    networks: dict[str, nn.Module], weights: Path, image: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / "lr/a.png", image)
    write_png(tmp_path / "hr/a.png", np.repeat(np.repeat(image, 4, 0), 4, 1))

    def scores(network: nn.Module | Path, **settings: str) -> list[float]:
        folders = tmp_path / "hr", {"clean": tmp_path / "lr"}
        table = reflash.evaluate(network, *folders, device="cpu", metrics=["psnr"], **settings)
        return list(table["psnr"])

    raw, averaged = (scores(networks[key]) for key in ("params", "params_ema"))
    assert raw != averaged
    assert scores(weights) == scores(weights, weights="params") == raw
    assert scores(weights, weights="params_ema") == averaged


def test_the_command_takes_which_weights_in_its_settings_too(
    weights: Path, image: np.ndarray, tmp_path: Path
) -> None:
    write_png(tmp_path / "clean/a.png", image)
    write_png(tmp_path / "Set1/hr/a.png", np.repeat(np.repeat(image, 4, 0), 4, 1))
    words = ["evaluate", "--hr", str(tmp_path / "Set1/hr"), "--lr", str(tmp_path / "clean")]
    words += ["--weights", str(weights), "--device", "cpu", "--out", str(tmp_path / "out.csv")]

    def scores(*options: str) -> pd.DataFrame:
        with pytest.raises(SystemExit) as ended:
            main([*words, *options])
        assert ended.value.code in (0, None)
        return pd.read_csv(tmp_path / "out.csv")

    raw, averaged = scores(), scores("--key", "params_ema")
    assert list(raw["set"]) == ["Set1"]
    assert not raw.equals(averaged)
    assert scores("--settings", "{weights: params_ema}").equals(averaged)
    assert scores("--settings", "{crop: 4}").equals(raw)


def test_a_network_stays_in_the_mode_it_was_in(
    networks: dict[str, nn.Module], image: np.ndarray
) -> None:
    network = networks["params"].train()
    wanted = reflash.upscale(networks["params"], image, device="cpu")
    reflash.saliency(network, image, device="cpu")
    assert network.training
    assert np.array_equal(reflash.upscale(network.eval(), image, device="cpu"), wanted)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ReflashError) as raised:
        call()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_does_not_fit_is_refused(networks: dict[str, nn.Module], image: np.ndarray) -> None:
    network = networks["params"]
    few = {"clean": [image, image]}
    other = {"clean": [image, image], "noise": [image, image[:8]]}
    for call, words in (
        (lambda: reflash.ablate(network, image, image), "hr: has shape (12, 14, 3); for this lr"),
        (lambda: reflash.represent(network, few), "two or more images of each of two or more"),
        (lambda: reflash.represent(network, few | {"noise": [image]}), "as many of each"),
        (lambda: reflash.represent(network, other), "images: 2 different sizes; crop them to one"),
        (lambda: reflash.represent(network, few, crop=8), "represent: crop: is not used here"),
        (lambda: reflash.evaluate("bicubic", "hr", {}, crops=4), "did you mean 'crop'"),
        (
            lambda: reflash.evaluate(network, "hr", {}, weights="params_ema"),
            "evaluate: weights: only a file holds several",
        ),
        (lambda: reflash.upscale("no.pth", image), "no.pth: no such file"),
        (
            lambda: reflash.upscale(network, image / 255),
            "image: expected an array of (H, W, 3) uint8",
        ),
        (lambda: reflash.saliency(network, image[..., 0]), "not uint8 of (12, 14)"),
        (lambda: reflash.ablate(network, image.astype(np.float32), image), "lr: expected"),
        (lambda: reflash.ablate(network, image, image.astype(np.float32)), "hr: expected"),
        (
            lambda: reflash.degrade([[1]], "clean"),
            "image: expected an array of (H, W, 3) uint8, not l",
        ),
        (
            lambda: reflash.represent(network, few | {"noise": [image, image.astype(float)]}),
            "images['noise'][1]: expected an array",
        ),
    ):
        assert words in refused(call)


def test_weights_saved_as_safetensors_are_read_alike(
    networks: dict[str, nn.Module], weights: Path, image: np.ndarray, tmp_path: Path
) -> None:
    described = {
        "network": SRResNetSettings(features=4, blocks=1).model_dump(mode="json"),
        "dropout": "none",
        "run": "mine",
        "which": "params",
    }
    path = tmp_path / "one.safetensors"
    save_weights(path, networks["params"].state_dict(), described)
    one, both = (reflash.upscale(file, image, device="cpu") for file in (path, weights))
    assert np.array_equal(one, both)


def test_every_image_has_noise_of_its_own() -> None:
    """Else features would cluster by the one noise field that all images share."""
    grey = [np.full((48, 48, 3), level, np.uint8) for level in (120, 121)]
    one, other = (
        reflash.degrade(hr, "noise").astype(float) - reflash.degrade(hr, "clean") for hr in grey
    )
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1
    assert np.array_equal(reflash.degrade(grey[0], "noise"), reflash.degrade(grey[0], "noise"))
    named = [reflash.degrade(hr, "noise", name="0001").astype(int) for hr in grey]
    assert np.ptp(named[1] - named[0]) <= 1  # a file's noise, whatever is in it


def test_kinds_of_images_that_differ_in_noise_alone_do_not_cluster() -> None:
    """By an untrained network, whose features say nothing of degradations."""
    torch.manual_seed(0)
    network = build_network(SRResNetSettings(features=8, blocks=2), Dropout())
    photos = np.random.default_rng(0).integers(0, 256, (6, 96, 96, 3), np.uint8)
    images = {
        kind: [reflash.degrade(photo, "noise", seed=seed) for photo in photos]
        for kind, seed in (("first", 0), ("second", 1))
    }
    index, chance = reflash.represent(network, images)[1]["paired"]
    assert index < 2 * chance


def test_a_module_is_used_where_it_is(
    networks: dict[str, nn.Module], image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``auto`` no other device is asked for, which could take a GPU or wait for one."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a device was looked for")

    network = networks["params"]
    monkeypatch.setattr(devices, "_try_lock", never)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    reflash.upscale(network, image)
    reflash.saliency(network, image)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
