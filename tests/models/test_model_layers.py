"""Layers through hooks: the same numbers as our networks' own stages, and anybody's network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.build import build_network
from reflash.models.factory import last_convolution
from reflash.models.layers import HookedNetwork
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout
from reflash.models.staged import StagedNetwork

SETTINGS = {
    "srresnet": SRResNetSettings(features=6, blocks=3),
    "srresnet x2": SRResNetSettings(features=6, blocks=2, scale=2),
    "rrdb": RRDBSettings(features=6, blocks=2, growth=3),
}


@pytest.fixture(params=SETTINGS)
def ours(request: pytest.FixtureRequest) -> StagedNetwork:
    torch.manual_seed(0)
    network = build_network(SETTINGS[request.param], parse_dropout("last_conv-channel-p0.5")).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network.double()


@pytest.fixture
def lr() -> Tensor:
    return torch.rand(1, 3, 7, 6, generator=torch.Generator().manual_seed(1)).double()


class Block(nn.Module):
    """A residual block whose first activation works in place on a tensor of its own."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class EDSR(nn.Module):
    """A network of another school: Sequentials, a pixel shuffle, one last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
        self.body = nn.Sequential(Block(8), Block(8), nn.Conv2d(8, 8, 3, padding=1))
        self.tail = nn.Sequential(
            nn.Conv2d(8, 32, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(8, 3, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(x)
        return self.tail(F.relu(x + self.body(x), inplace=True))


class Shifted(EDSR):
    """As EDSR and RCAN are published: convolutions at both ends shift the colours' means."""

    def __init__(self) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.add_mean(super().forward(self.sub_mean(x)))


def test_a_shift_of_colours_is_no_layer() -> None:
    """The last layer is what the last convolution of features reads, where dropout goes, too."""
    model = Shifted().eval()
    network, lr = HookedNetwork(model), torch.rand(1, 3, 6, 6)
    assert network.layer_names == ("first", "b1", "b2", "hr", "last")
    read: dict[str, Tensor] = {}
    model.tail[2].register_forward_hook(lambda _, inputs, __: read.update(last=inputs[0]))
    _, features = network.forward_features(lr, ["last"])
    assert torch.equal(features["last"], read["last"])
    assert features["last"].shape[1] == 8
    assert last_convolution(model, "Shifted") == "tail.2"


def test_hooks_give_what_our_stages_give(ours: StagedNetwork, lr: Tensor) -> None:
    hooked = HookedNetwork(ours)
    assert (hooked.layer_names, hooked.scale) == (ours.layer_names, ours.scale)
    expected_sr, expected = ours.forward_features(lr)
    sr, found = hooked.forward_features(lr)
    assert torch.equal(sr, expected_sr)
    assert list(found) == list(expected)
    assert all(torch.equal(found[layer], expected[layer]) for layer in expected)
    assert found["hr"].shape[1] <= hooked.width


def test_hooks_restart_as_our_stages_do(ours: StagedNetwork, lr: Tensor) -> None:
    hooked = HookedNetwork(ours)
    generator = torch.Generator().manual_seed(2)
    for layer, features in ours.forward_features(lr)[1].items():
        changed = features * torch.rand(2, features.shape[1], 1, 1, generator=generator)
        torch.testing.assert_close(
            hooked.forward_from(layer, changed, lr), ours.forward_from(layer, changed, lr)
        )
        before = lr.clone()
        assert torch.equal(hooked.forward_from(layer, features, lr), ours(lr))
        assert torch.equal(lr, before)


def test_gradients_through_hooks_are_those_of_our_stages(ours: StagedNetwork, lr: Tensor) -> None:
    gradients = []
    for network in (ours, HookedNetwork(ours)):
        sr, features = network.forward_features(lr)
        gradients.append(torch.autograd.grad(sr.square().sum(), list(features.values())))
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_a_network_of_others() -> None:
    torch.manual_seed(0)
    model = EDSR().eval()
    network, lr = HookedNetwork(model), torch.rand(2, 3, 9, 8)
    assert (network.layer_names, network.scale) == (("first", "b1", "b2", "hr", "last"), 2)
    asked = ("tail.0", "b1", "body.1.body.0", "last", "first")
    sr, features = network.forward_features(lr, asked)
    assert torch.equal(sr, model(lr))
    assert list(features) == ["first", "b1", "body.1.body.0", "tail.0", "last"]
    head = model.head(lr)
    one = model.body[0](head)
    assert torch.equal(features["first"], head)
    assert torch.equal(features["b1"], one)
    assert torch.equal(features["body.1.body.0"], model.body[1].body[0](one))  # before the ReLU
    for layer, tensor in features.items():
        assert torch.equal(network.forward_from(layer, tensor, lr), sr)
        assert not torch.equal(network.forward_from(layer, tensor + 1, lr), sr)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    # The skip around the body reads ``first``, too.
    other = torch.rand_like(head)
    expected = model.tail(F.relu(other + model.body(other)))
    torch.testing.assert_close(network.forward_from("first", other, lr), expected)


def test_a_module_that_runs_several_times_is_read_at_its_last() -> None:
    class Recursive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(self.conv(x)))

    network, lr = HookedNetwork(Recursive().eval()), torch.rand(1, 3, 4, 4)
    assert network.layer_names == ("last",)
    sr, features = network.forward_features(lr, ["last", "conv"])
    assert torch.equal(features["conv"], sr)
    assert torch.equal(network.model.conv(features["last"]), sr)
    assert torch.equal(network.forward_from("last", features["last"], lr), sr)


def test_what_cannot_be_read_is_told() -> None:
    network, lr = HookedNetwork(EDSR().eval()), torch.rand(1, 3, 4, 4)
    with pytest.raises(ReflashError, match=r"layer 'body\.9': no such layer.*such as body"):
        network.forward_features(lr, ["body.9"])
    with pytest.raises(ReflashError, match="layer '': no such layer"):
        network.check_layers([""])
    flat = nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (64, 64)))
    with pytest.raises(ReflashError, match="layer '0': is no feature map"):
        HookedNetwork(flat).forward_features(torch.rand(1, 3, 64, 64), ["0"])
    with pytest.raises(ReflashError, match="Conv2d: fails on an image of 64x64 pixels"):
        HookedNetwork(nn.Conv2d(1, 3, 3))
    with pytest.raises(ReflashError, match="Conv2d: does not make an image of a whole multiple"):
        HookedNetwork(nn.Conv2d(3, 3, 3))
