"""Networks of others: found from their weights, made by a factory, fitted to any size."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from reflash.core.errors import ReflashError
from reflash.interpretation.saliency import channel_saliency, detail
from reflash.models import external
from reflash.models.build import build_network
from reflash.models.external import fit_sizes, open_network
from reflash.models.factory import factory_code
from reflash.models.layers import HookedNetwork
from reflash.models.settings import FactorySettings, RRDBSettings, SRResNetSettings, parse_dropout
from reflash.models.staged import StagedNetwork
from reflash.models.weights import (
    convert,
    load_network,
    load_tensors,
    load_weights,
    save_weights,
)

MYNET = '''
import torch
from torch import nn


class MyNet(nn.Module):
    """Half the size inside, so images must have even sides."""

    def __init__(self, features):
        super().__init__()
        self.down = nn.PixelUnshuffle(2)
        self.trunk_conv = nn.Conv2d(12, features, 3, padding=1)  # a name that RRDB's files have
        self.body = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU())
        self.up = nn.Sequential(nn.Conv2d(features, 64 * 3, 3, padding=1), nn.PixelShuffle(8))
        self.tail = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, lr):
        return self.tail(self.up(self.body(self.trunk_conv(self.down(lr)))))


def build(features=8):
    return MyNet(features)


def wrong():
    return 3


def broken():
    raise RuntimeError("no luck")
'''


@pytest.fixture
def mynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The factory of a network of one's own, in a file of the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("mynet.py").write_text(MYNET)
    return "mynet.py:build"


def text(**settings: object) -> str:
    return json.dumps(settings)


@pytest.fixture
def lr() -> torch.Tensor:
    return torch.rand(2, 3, 14, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings", [SRResNetSettings(features=8, blocks=3), RRDBSettings(features=8, blocks=2)]
)
@pytest.mark.parametrize("wrapper", ["bare", "params_ema", "state_dict"])
def test_networks_of_ours_are_found_first(
    tmp_path: Path, lr: torch.Tensor, settings: SRResNetSettings | RRDBSettings, wrapper: str
) -> None:
    model = build_network(settings).eval()
    state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save(state if wrapper == "bare" else {wrapper: state}, tmp_path / "net.pth")
    found = open_network(tmp_path / "net.pth")
    assert isinstance(found, StagedNetwork)
    with torch.no_grad():
        assert torch.equal(found(lr), model(lr))


@pytest.mark.parametrize("key", ["params", "params_ema"])
def test_a_factory_with_weights_by_key(mynet: str, lr: torch.Tensor, key: str) -> None:
    networks = {}
    for name in ("params", "params_ema"):
        settings = FactorySettings(factory=mynet, arguments={"features": 4})
        networks[name] = build_network(settings).eval()
    torch.save({name: model.state_dict() for name, model in networks.items()}, "net.pth")
    before = torch.get_rng_state()
    found = open_network(text(weights="net.pth", key=key, factory=mynet, arguments={"features": 4}))
    assert torch.equal(torch.get_rng_state(), before)
    assert not found.training
    with torch.no_grad():
        assert torch.equal(found(lr), networks[key](lr))


def test_a_module_is_a_factory_too() -> None:
    upsample = text(factory="torch.nn:Upsample", arguments={"scale_factor": 4})
    assert open_network(upsample)(torch.rand(1, 3, 5, 4)).shape == (1, 3, 20, 16)


def test_padding_is_by_reflection_and_cropped(mynet: str) -> None:
    model = open_network(text(factory=mynet, multiple=2))
    lr = torch.rand(1, 3, 5, 7)
    whole = np.pad(lr.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1)), "reflect")
    plain = open_network(text(factory=mynet))
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        expected = plain(torch.from_numpy(whole))[..., :20, :28]
        assert torch.equal(model(lr), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (2, 3), (16, 8)])
def test_images_smaller_than_a_window(height: int, width: int) -> None:
    seen = []

    class Windows(nn.Module):
        def forward(self, lr: torch.Tensor) -> torch.Tensor:
            seen.append(lr.shape[-2:])
            return nn.functional.interpolate(lr, scale_factor=4.0)

    model = fit_sizes(Windows(), multiple=8, minimum=16)
    lr = torch.rand(1, 3, height, width)
    assert torch.equal(model(lr), nn.functional.interpolate(lr, scale_factor=4.0))
    assert seen == [(16, 16)]


def test_what_spandrel_and_the_user_ask_of_sizes_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two crops, one inside the other, would take the scale from a size that is cropped already."""
    seen: list[tuple[int, ...]] = []

    class Net(nn.Module):
        def forward(self, lr: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(lr.shape[-2:]))
            return nn.functional.interpolate(lr, scale_factor=4.0)

    class Descriptor:
        input_channels = output_channels = 3
        architecture = SimpleNamespace(name="Net")
        size_requirements = SimpleNamespace(square=False, multiple_of=6, minimum=16)
        model = Net()

    spandrel = SimpleNamespace(ImageModelDescriptor=Descriptor)
    monkeypatch.setattr(external, "_import_spandrel", lambda: spandrel)
    monkeypatch.setattr(external, "_recognised", lambda *_: Descriptor())
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
    model = open_network(text(weights=str(tmp_path / "net.pth"), multiple=4))
    for height, width in ((20, 30), (10, 10)):
        assert model(torch.rand(1, 3, height, width)).shape == (1, 3, 4 * height, 4 * width)
    assert seen == [(24, 36), (24, 24)]


def test_padding_leaves_the_names_of_layers(mynet: str, lr: torch.Tensor) -> None:
    network = HookedNetwork(open_network(text(factory=mynet, multiple=2)))
    sr, features = network.forward_features(lr[..., :13, :9], ["body.0", "last"])
    assert sr.shape == (2, 3, 52, 36)
    assert {name: tuple(f.shape[1:]) for name, f in features.items()} == {
        "body.0": (8, 7, 5),
        "last": (3, 56, 40),
    }
    changed = network.forward_from("body.0", features["body.0"], lr[..., :13, :9])
    assert torch.equal(changed, sr)


def test_analyses_leave_padding_out(mynet: str, lr: torch.Tensor) -> None:
    lr = lr[:1, :, :13, :9]
    model = open_network(text(factory=mynet, multiple=8))
    plain = HookedNetwork(open_network(text(factory=mynet)))
    plain.load_state_dict({f"model.{name}": value for name, value in model.state_dict().items()})
    whole = np.pad(lr.numpy(), ((0, 0), (0, 0), (0, 3), (0, 7)), "reflect")
    seen = torch.from_numpy(whole).requires_grad_()
    sr, features = plain.forward_features(seen, ["body.0", "last"])
    objective = detail(sr[..., : 4 * 13, : 4 * 9])
    expected = torch.autograd.grad(objective, list(features.values()))
    maps = channel_saliency(HookedNetwork(model), lr, ["body.0", "last"])
    for of_layer, gradient, size in zip(maps.values(), expected, ((7, 5), (52, 36)), strict=True):
        inside = gradient[0, :, : size[0], : size[1]].abs()
        torch.testing.assert_close(of_layer, inside / inside.max())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"factory": "none.py:build"}, "none.py: .*name the file and the function in it"),
        ({"factory": "mynet.py:make"}, "mynet.py: has no function 'make'"),
        ({"factory": "mynet.py:wrong"}, "mynet.py:wrong: returns int, not a torch.nn.Module"),
        ({"factory": "mynet.py:broken"}, r"fails with RuntimeError \(no luck\); correct it"),
        ({"factory": "mynet.py:build", "arguments": {"depth": 2}}, "fails with TypeError"),
        ({"factory": "nowhere.net:build"}, "no module 'nowhere.net'; install it"),
        ({"factory": "mynet.py:build", "weights": "net.pth"}, "net.pth: not the weights of"),
        ({"factory": "mynet"}, "should match pattern"),
        ({"weight": "net.pth"}, "keys are weights, key,"),
        ({}, "name a weights file, or a factory"),
    ],
)
def test_what_cannot_be_had_is_one_line(mynet: str, settings: dict[str, object], line: str) -> None:
    other = build_network(FactorySettings(factory=mynet, arguments={"features": 4}))
    torch.save(other.state_dict(), "net.pth")
    with pytest.raises(ReflashError, match=line):
        open_network(text(**settings))


def test_a_file_changes_its_code_unless_only_comments_do(mynet: str) -> None:
    first = factory_code(mynet)
    Path("mynet.py").write_text(MYNET.replace("def build", "# makes it\ndef build"))
    assert factory_code(mynet) == first
    Path("mynet.py").write_text(MYNET.replace("nn.ReLU()", "nn.GELU()"))
    assert factory_code(mynet) != first


def test_code_of_the_package_has_a_hash_wherever_it_lies() -> None:
    codes = {factory_code(f"reflash.{name}:f") for name in ("functions", "models.srresnet")}
    assert len(codes) == 2


def test_a_network_of_ones_own_is_saved_and_read(mynet: str, lr: torch.Tensor) -> None:
    settings = FactorySettings(factory=mynet, arguments={"features": 4})
    dropout = parse_dropout("body.0-element-p0.2+last_conv-channel-p0.5")
    model = build_network(settings, dropout).eval()
    assert set(model.state_dict()) == set(build_network(settings).state_dict())
    what = {"network": settings, "dropout": dropout, "which": "params"}
    save_weights("mine.safetensors", model.state_dict(), what)
    assert set(load_weights("mine.safetensors")[0]) == set(model.state_dict())
    with pytest.raises(
        ReflashError, match="made by mynet.py:build, which is not run because"
    ) as error:
        load_network("mine.safetensors")
    text = str(error.value).split("'")[1]  # the remedy is what --weights takes
    with torch.no_grad():
        assert torch.equal(open_network(text)(lr), model(lr))
    convert("mine.safetensors", "mine.pth")  # without its code
    assert set(load_tensors("mine.pth")[0]) == set(model.state_dict())
    found = load_network("mine.safetensors", network=settings)
    assert isinstance(found.get_submodule("body.0.dropout_before"), nn.Dropout)
    assert isinstance(found.get_submodule("tail.dropout_before"), nn.Dropout2d)
    with torch.no_grad():
        assert torch.equal(found(lr), model(lr))
    Path("mynet.py").write_text(
        MYNET.replace("64 * 3, 3,", "64 * 3, 1,").replace(
            "padding=1), nn.Pix", "padding=0), nn.Pix"
        )
    )
    with pytest.raises(ReflashError, match="not the weights of mynet.py:build as it is now: up.0"):
        load_network("mine.safetensors", network=settings)


def test_a_file_cannot_choose_what_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a module that is installed nor a file that lies here."""
    monkeypatch.chdir(tmp_path)
    touch = {"factory": "subprocess:check_call", "arguments": {"args": ["touch", "ran"]}}
    Path("own.py").write_text("def build():\n    open('ran', 'w')\n")
    for named in (touch, {"factory": "own.py:build"}):
        what = {"network": FactorySettings.model_validate(named), "which": "params"}
        save_weights("evil.safetensors", {"w": torch.zeros(1)}, what)
        for read in (load_network, open_network):
            with pytest.raises(ReflashError, match="is not run because a file says so"):
                read("evil.safetensors")
        convert("evil.safetensors", "evil.pth")
        assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("dropout", "line"),
    [
        ("b8-channel-p0.2", "mynet.py:build has no place 'b8'; write last_conv"),
        ("quarter-channel-p0.2", "has no place 'quarter'"),
    ],
)
def test_places_of_ours_are_not_places_of_theirs(mynet: str, dropout: str, line: str) -> None:
    from reflash.models.placement import place

    with pytest.raises(ReflashError, match=line):
        place(FactorySettings(factory=mynet), parse_dropout(dropout))
    with pytest.raises(ReflashError, match="no module 'tial'; near names: tail"):
        build_network(FactorySettings(factory=mynet), parse_dropout("tial-channel-p0.2"))
    with pytest.raises(ReflashError, match="no place is called 'tail'; places are b1 to b16"):
        place(SRResNetSettings(), parse_dropout("tail-channel-p0.2"))


def test_the_layer_named_as_last_convolution(mynet: str) -> None:
    settings = FactorySettings(factory=mynet, last_conv="trunk_conv")
    model = build_network(settings, parse_dropout("last_conv-channel-p0.5"))
    assert isinstance(model.get_submodule("trunk_conv.dropout_before"), nn.Dropout2d)
    settings = FactorySettings(factory="torch.nn:Upsample", arguments={"scale_factor": 4})
    with pytest.raises(ReflashError, match="no convolution with three outputs; name the layer"):
        build_network(settings, parse_dropout("last_conv-channel-p0.5"))


class TestSpandrel:
    """Architectures that spandrel knows."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("einops", reason="spandrel is not installed: reflash[external]")

    @pytest.fixture
    def swinir(self) -> nn.Module:
        from reflash.models.external import _import_spandrel

        _import_spandrel()
        from spandrel.architectures.SwinIR import SwinIR

        torch.manual_seed(0)
        return SwinIR(
            img_size=16,
            window_size=8,
            depths=[2, 2],
            embed_dim=12,
            num_heads=[2, 2],
            mlp_ratio=2,
            upsampler="pixelshuffledirect",
            upscale=4,
        ).eval()

    @pytest.mark.parametrize("wrapper", ["bare", "params_ema", "net_g", "safetensors"])
    def test_swinir_of_any_size(self, tmp_path: Path, swinir: nn.Module, wrapper: str) -> None:
        path = tmp_path / "swinir.pth"
        if wrapper == "safetensors":
            path = tmp_path / "swinir.safetensors"
            safetensors.torch.save_file(swinir.state_dict(), path)
        elif wrapper == "net_g":
            torch.save({f"net_g.{k}": v for k, v in swinir.state_dict().items()}, path)
        else:
            state = swinir.state_dict()
            torch.save(state if wrapper == "bare" else {wrapper: state}, path)
        model = open_network(path)
        lr = torch.rand(1, 3, 13, 19)
        with torch.no_grad():
            whole = np.pad(lr.numpy(), ((0, 0), (0, 0), (0, 3), (0, 0)), "reflect")
            assert torch.equal(model(lr), swinir(torch.from_numpy(whole))[..., :52, :])
        network = HookedNetwork(model)
        assert network.scale == 4
        assert "last" in network.layer_names

    def test_torchvision_does_not_seem_to_be_there(self, swinir: nn.Module) -> None:
        assert "torchvision" not in sys.modules

    def test_nothing_of_its_authors_code_is_shown(self, tmp_path: Path, swinir: nn.Module) -> None:
        """PyTorch warns who builds SwinIR of an argument that its code lacks."""
        torch.save(swinir.state_dict(), tmp_path / "net.pth")
        code = "import reflash, torch; reflash.load_network('net.pth')(torch.rand(1, 3, 8, 8))"
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert (ended.stdout, ended.stderr) == ("", "")

    def test_unknown_weights(self, tmp_path: Path) -> None:
        torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
        with pytest.raises(ReflashError) as error:
            open_network(tmp_path / "net.pth")
        assert re.search(r"another architecture .a.weight 3 x 3 .*name a factory", str(error.value))

    def test_grey_networks_are_refused(self, tmp_path: Path) -> None:
        from reflash.models.external import _import_spandrel

        _import_spandrel()
        from spandrel.architectures.SwinIR import SwinIR

        grey = SwinIR(
            img_size=16,
            window_size=8,
            depths=[2],
            embed_dim=12,
            num_heads=[2],
            in_chans=1,
            upscale=4,
            upsampler="pixelshuffledirect",
        )
        torch.save(grey.state_dict(), tmp_path / "grey.pth")
        with pytest.raises(ReflashError, match="SwinIR takes 1 and makes 1 channels; use one for"):
            open_network(tmp_path / "grey.pth")


def test_without_spandrel_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "net.pth")
    with pytest.raises(ReflashError, match=r"pip install 'reflash\[external\]', or by a factory"):
        open_network(tmp_path / "net.pth")
