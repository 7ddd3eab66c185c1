"""Checkpoints as users bring them: read however they are wrapped, or named for what they are."""

from __future__ import annotations

import argparse
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reflash.datasets.images import read_rgb, write_png
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings
from reflash.models.weights import load_network

Reflash = Callable[..., Any]
State = dict[str, torch.Tensor]

SRRESNET = SRResNetSettings(features=4, blocks=2)
RRDB = RRDBSettings(features=4, blocks=2, growth=2)


def weights(settings: Any = SRRESNET, seed: int = 0) -> State:
    torch.manual_seed(seed)
    return {
        key: 0.05 * torch.randn_like(w) for key, w in build_network(settings).state_dict().items()
    }


def with_prefix(state: State, prefix: str) -> State:
    return {prefix + key: weight for key, weight in state.items()}


def converted(reflash: Reflash, path: Path, *options: object) -> State:
    """Return what the command convert makes of a checkpoint."""
    out = path.with_name("converted.safetensors")
    outcome = reflash("convert", path, out, *options)
    assert outcome.status == 0, outcome.err
    return dict(load_network(out).state_dict())


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def refusal(reflash: Reflash, path: Path, *options: object) -> str:
    """Return the one line in which upscale refuses a checkpoint, having written nothing."""
    folder = path.parent / "images"
    write_png(folder / "a.png", np.zeros((8, 8, 3), np.uint8))
    out = path.parent / "out"
    error = reflash("upscale", folder, out, "--weights", path, "--device", "cpu", *options).error
    assert f"{path.name}: " in error
    assert not out.exists()
    return str(error)


# Names and wrappers ----------------------------------------------------------------------------


def first_esrgan(state: State) -> State:
    """Rename to the numbered layers of ESRGAN's first release."""
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("body."))
    numbers = {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10}
    renamed = {}
    for key, weight in state.items():
        layer, _, rest = key.partition(".")
        if layer == "body":
            key = re.sub(
                r"body\.(\d+)\.rdb(\d)\.conv(\d)\.", r"model.1.sub.\1.RDB\2.conv\3.0.", key
            )
        elif layer == "conv_body":
            key = f"model.1.sub.{blocks}.{rest}"
        else:
            key = f"model.{numbers[layer]}.{rest}"
        renamed[key] = weight
    return renamed


def second_esrgan(state: State) -> State:
    """Rename to ESRGAN's second release, whose SRResNet is the first BasicSR's."""
    pairs = [("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv")]
    renamed = {}
    for key, weight in state.items():
        trunk = "RRDB_trunk" if ".rdb" in key else "recon_trunk"
        key = re.sub(r"^body\.", f"{trunk}.", key).replace(".rdb", ".RDB")
        for new, old in pairs:
            key = re.sub(f"^{new}", old, key)
        renamed[key] = weight
    return renamed


@pytest.mark.parametrize("prefix", ["", "module.", "generator.", "net_g.module."])
@pytest.mark.parametrize(
    ("settings", "rename"), [(RRDB, first_esrgan), (RRDB, second_esrgan), (SRRESNET, second_esrgan)]
)
def test_old_names(
    reflash: Reflash, tmp_path: Path, settings: Any, rename: Callable[[State], State], prefix: str
) -> None:
    torch.save(with_prefix(rename(weights(settings)), prefix), tmp_path / "w.pth")
    assert same(converted(reflash, tmp_path / "w.pth"), weights(settings))


def test_the_brought_esrgan(reflash: Reflash, cases: Path, tmp_path: Path) -> None:
    source = cases / "weights" / "RRDB_PSNR_x4_old.pth"
    stored = torch.load(source, weights_only=True)
    (tmp_path / "w.pth").write_bytes(source.read_bytes())
    made = converted(reflash, tmp_path / "w.pth")
    assert torch.equal(made["conv_first.weight"], stored["conv_first.weight"].float())
    assert torch.equal(made["conv_last.bias"], stored["conv_last.bias"].float())
    last = stored["RRDB_trunk.0.RDB3.conv5.weight"]
    assert torch.equal(made["body.0.rdb3.conv5.weight"], last.float())
    assert len(made) == len(stored)


def optimizer_state() -> dict[str, Any]:
    return {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}, "param_groups": []}


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema": lambda state: {"params_ema": state},
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": optimizer_state()},
    "model_state_dict": lambda state: {"iter": 1, "model_state_dict": state},
    "generator": lambda state: {
        "generator": state,
        "discriminator": {"conv0.weight": torch.ones(8, 3, 3, 3)},
    },
    "net_g": lambda state: {"net_g": with_prefix(state, "module.")},
    "net_g.params": lambda state: {"net_g": {"params": state}},
    "lightning": lambda state: {
        "state_dict": {**with_prefix(state, "model."), "loss.vgg.0.weight": torch.ones(2)},
        "optimizer_states": [optimizer_state()],
        "pytorch-lightning_version": "2.0",
        "hyper_parameters": {"lr": 1e-4},
    },
    "prefix model.": lambda state: with_prefix(state, "model."),
    "prefix generator.": lambda state: with_prefix(state, "generator."),
    "prefix net_g.": lambda state: with_prefix(state, "net_g."),
    "compiled": lambda state: with_prefix(state, "_orig_mod.module."),
    "averaged too": lambda state: {
        "model": state,
        "model_ema": {key: weight + 1 for key, weight in state.items()},
    },
    "a number beside the layers": lambda state: {**state, "epoch": 7},
}


@pytest.mark.parametrize("settings", [SRRESNET, RRDB], ids=["srresnet", "rrdb"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers(reflash: Reflash, tmp_path: Path, wrapper: str, settings: Any) -> None:
    torch.save(WRAPPERS[wrapper](weights(settings)), tmp_path / "w.pth")
    assert same(converted(reflash, tmp_path / "w.pth"), weights(settings))


def test_averaged_weights_on_request(reflash: Reflash, tmp_path: Path) -> None:
    torch.save({"g": weights(seed=1), "g_ema": weights(seed=2)}, tmp_path / "w.pth")
    options = ("--key", "params_ema")
    assert same(converted(reflash, tmp_path / "w.pth", *options), weights(seed=2))


def test_two_networks_are_not_guessed_between(reflash: Reflash, tmp_path: Path) -> None:
    torch.save({"best": weights(seed=1), "last": weights(seed=2)}, tmp_path / "w.pth")
    error = refusal(reflash, tmp_path / "w.pth")
    assert "holds several networks (best, last); save one in a file of its own" in error


@pytest.mark.parametrize("prefix", ["module.", "model."])
def test_wrapped_safetensors(reflash: Reflash, tmp_path: Path, prefix: str) -> None:
    save_file(with_prefix(weights(), prefix), tmp_path / "w.safetensors")
    assert same(converted(reflash, tmp_path / "w.safetensors"), weights())


# Suffixes and precision ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.PTH", "w.ckpt", "w.bin", "w", "w.Pt", "w.safetensors.pth"])
def test_the_content_counts_not_the_suffix(reflash: Reflash, tmp_path: Path, name: str) -> None:
    for folder, save in {"p": torch.save, "s": save_file}.items():
        path = tmp_path / folder / name
        path.parent.mkdir()
        save(weights(), path)
        assert same(converted(reflash, path), weights())


def test_pytorch_under_the_name_of_safetensors(reflash: Reflash, tmp_path: Path) -> None:
    torch.save({"params": weights()}, tmp_path / "w.safetensors")
    assert same(converted(reflash, tmp_path / "w.safetensors"), weights())


def test_a_suffix_in_capitals(reflash: Reflash, tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "w.SAFETENSORS")
    assert same(converted(reflash, tmp_path / "w.SAFETENSORS"), weights())


def test_the_old_format_of_pytorch(reflash: Reflash, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(converted(reflash, tmp_path / "w.pth"), weights())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats(reflash: Reflash, tmp_path: Path, dtype: torch.dtype) -> None:
    stored = {key: weight.to(dtype) for key, weight in weights().items()}
    torch.save(stored, tmp_path / "w.pth")
    made = converted(reflash, tmp_path / "w.pth")
    assert same(made, {key: weight.float() for key, weight in stored.items()})


# Values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "what"),
    [(float("nan"), "NaN"), (float("inf"), "infinity"), (-float("inf"), "infinity")],
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_weight_that_is_not_finite(
    reflash: Reflash, tmp_path: Path, value: float, what: str, suffix: str
) -> None:
    state = weights()
    state["body.1.conv1.weight"][0, 0, 0, :2] = value
    path = tmp_path / f"w.{suffix}"
    (torch.save if suffix == "pth" else save_file)(state, path)
    says = f"the weight body.1.conv1.weight contains {what} (2 of 144 values)"
    assert says in refusal(reflash, path)
    out = tmp_path / "converted.safetensors"
    assert says in reflash("convert", path, out).error
    assert not out.exists()


def test_a_double_beyond_32_bits(reflash: Reflash, tmp_path: Path) -> None:
    state = {key: weight.double() for key, weight in weights().items()}
    state["conv_last.bias"][0] = 1e300
    torch.save(state, tmp_path / "w.pth")
    assert "the weight conv_last.bias contains infinity" in refusal(reflash, tmp_path / "w.pth")


def test_complex_weights(reflash: Reflash, tmp_path: Path) -> None:
    state = weights() | {"conv_last.bias": torch.ones(3, dtype=torch.complex64)}
    torch.save(state, tmp_path / "w.pth")
    assert "conv_last.bias is complex, sparse or quantised" in refusal(reflash, tmp_path / "w.pth")


@pytest.mark.parametrize("command", ["saliency", "represent", "ablate", "mask", "sensitivity"])
def test_no_analysis_takes_nan(reflash: Reflash, tmp_path: Path, command: str) -> None:
    path, state = tmp_path / "nan.pth", weights()
    state["body.1.conv1.weight"][0] = float("nan")
    torch.save(state, path)
    images = {"lr": np.zeros((8, 8, 3), np.uint8), "hr": np.zeros((32, 32, 3), np.uint8)}
    for folder, image in images.items():
        for name in "ab":
            write_png(tmp_path / folder / f"{name}.png", image)
    lr = tmp_path / "lr"
    options = {
        "saliency": ("--lr", lr),
        "represent": ("--lr", lr, "--lr", tmp_path / "hr"),
    }.get(command, ("--lr", lr, "--hr", tmp_path / "hr"))
    outcome = reflash(command, "--weights", path, *options, "--out", tmp_path / "out")
    assert "nan.pth: the weight body.1.conv1.weight contains NaN" in outcome.error
    assert not (tmp_path / "out").exists()


# Other files -----------------------------------------------------------------------------------


def other_files(folder: Path) -> dict[str, str]:
    """Write files that are no state dict; return what the error says by name."""
    network = build_network(SRRESNET)
    torch.jit.script(torch.nn.Conv2d(3, 3, 3)).save(folder / "script.pt")
    torch.save(network, folder / "model.pth")
    torch.save(network, folder / "old_model.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": network, "epoch": 1}, folder / "inside.pth")
    torch.save({"params": weights(), "opt": argparse.Namespace(a=1)}, folder / "options.pth")
    torch.save({"epoch": 3, "optimizer": optimizer_state()}, folder / "optimizer.pth")
    np.savez(folder / "arrays.npz", a=np.ones(3))
    np.save(folder / "array.npy", np.ones(3))
    with zipfile.ZipFile(folder / "paper.docx", "w") as file:
        file.writestr("word/document.xml", "x")
    (folder / "net.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(90))
    (folder / "keras.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
    for name in ("pointer.pth", "pointer.safetensors"):
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (folder / "page.pth").write_text("<!DOCTYPE html><html></html>")
    (folder / "empty.pth").touch()
    (folder / "noise.pth").write_bytes(bytes(range(3, 250)))
    whole = "holds a whole model saved with torch.save(model) (reflash.models.srresnet.SRResNet)"
    return {
        "script.pt": "a TorchScript program, not weights",
        "model.pth": whole,
        "old_model.pth": whole,
        "inside.pth": whole,
        "options.pth": "holds Python objects besides tensors (argparse.Namespace)",
        "optimizer.pth": "holds no weights but epoch, optimizer",
        "arrays.npz": "a NumPy archive (.npz), not PyTorch weights",
        "array.npy": "a NumPy array, not PyTorch weights",
        "paper.docx": "a zip file without PyTorch weights",
        "net.onnx": "looks like an ONNX model, not PyTorch weights",
        "keras.h5": "an HDF5 file (Keras), not PyTorch weights",
        "pointer.pth": "a Git LFS pointer, not the file itself: run git lfs pull",
        "pointer.safetensors": "a Git LFS pointer, not the file itself: run git lfs pull",
        "page.pth": "a web page, not weights",
        "empty.pth": "the file is empty",
        "noise.pth": "not a PyTorch or safetensors file",
    }


def test_other_files_are_named_for_what_they_are(reflash: Reflash, tmp_path: Path) -> None:
    for name, says in other_files(tmp_path).items():
        assert f"{name}: {says}" in refusal(reflash, tmp_path / name)


@pytest.mark.parametrize("suffix", ["safetensors", "pth", "legacy"])
def test_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    from reflash.core.errors import ReflashError

    path = tmp_path / f"w.{suffix}"
    if suffix == "safetensors":
        save_file(weights(), path)
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=suffix == "pth")
    data = path.read_bytes()
    for size in range(0, len(data), len(data) // 60):
        path.write_bytes(data[:size])
        with pytest.raises(ReflashError, match=path.name):
            load_network(path)


def test_a_network_is_used_as_it_was_read(reflash: Reflash, tmp_path: Path) -> None:
    """The same picture from a wrapped file of old names as from a plain one."""
    write_png(tmp_path / "a.png", np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8))
    torch.save(weights(RRDB), tmp_path / "plain.pth")
    wrapped = {"state_dict": with_prefix(first_esrgan(weights(RRDB)), "module.")}
    torch.save(wrapped, tmp_path / "old.ckpt")
    made = []
    for name in ("plain.pth", "old.ckpt"):
        out = tmp_path / f"{name}.png"
        options = ("--weights", tmp_path / name, "--device", "cpu")
        assert reflash("upscale", tmp_path / "a.png", out, *options).status == 0
        made.append(read_rgb(out))
    np.testing.assert_array_equal(*made)
