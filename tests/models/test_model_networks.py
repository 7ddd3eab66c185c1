import copy
import math

import pytest
import reference_networks as reference
import torch

from reflash.core.errors import ReflashError
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout
from reflash.models.staged import StagedNetwork

SMALL = {
    "srresnet": SRResNetSettings(features=6, blocks=5),
    "rrdb": RRDBSettings(features=6, blocks=3, growth=4),
}


@pytest.fixture
def lr() -> torch.Tensor:
    return torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))


def small(name: str, dropout: str = "none") -> StagedNetwork:
    """A small network in evaluation mode whose every weight, biases included, matters."""
    torch.manual_seed(0)
    network = build_network(SMALL[name], parse_dropout(dropout))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3 if parameter.ndim == 1 else 0.15)
    return network.eval()


@pytest.mark.parametrize(
    ("settings", "count"), [(SRResNetSettings(), 1_517_571), (RRDBSettings(), 16_697_987)]
)
def test_parameter_count_is_the_papers(settings, count: int):
    with torch.device("meta"):
        network = build_network(settings)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("name", SMALL)
def test_output_and_all_layers_equal_the_network_written_down_straight(name: str, lr: torch.Tensor):
    network = small(name)
    expected = getattr(reference, name)(network.state_dict(), lr)
    sr, layers = network.forward_features(lr)
    assert tuple(layers) == network.layer_names == tuple(expected)[:-1]
    for layer, tensor in layers.items():
        torch.testing.assert_close(tensor, expected[layer])
    torch.testing.assert_close(sr, expected["sr"])
    assert torch.equal(network(lr), sr)
    assert sr.shape == (2, 3, 20, 28)


@pytest.mark.parametrize("name", SMALL)
def test_forward_from_any_layer_is_the_forward_pass(name: str, lr: torch.Tensor):
    network = small(name)
    sr, layers = network.forward_features(lr)
    for layer, features in layers.items():
        torch.testing.assert_close(network.forward_from(layer, features, lr), sr, rtol=0, atol=0)
        changed = network.forward_from(layer, features + 1, lr)
        assert not torch.allclose(changed, sr)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_at_layers_are_the_derivatives(name: str, lr: torch.Tensor):
    """Activations work in place; were one to spoil a layer, its gradient would be wrong or fail."""
    network = small(name).double()
    lr = lr.double()
    sr, layers = network.forward_features(lr)
    gradients = torch.autograd.grad(sr.square().sum(), list(layers.values()))
    for (layer, features), gradient in zip(layers.items(), gradients, strict=True):
        noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
        step = 1e-7 * noise.double()
        with torch.no_grad():
            above = network.forward_from(layer, features + step, lr).square().sum()
            below = network.forward_from(layer, features - step, lr).square().sum()
        expected = 2 * (gradient * step).sum().item()
        assert (above - below).item() == pytest.approx(expected, rel=1e-3), layer


def test_only_the_layers_asked_for_are_returned(lr: torch.Tensor):
    network = small("srresnet")
    _, layers = network.forward_features(lr, ("last", "b2"))
    assert {layer: tuple(tensor.shape) for layer, tensor in layers.items()} == {
        "b2": (2, 6, 5, 7),
        "last": (2, 6, 20, 28),
    }
    assert network.forward_features(lr, ())[1] == {}


def test_unknown_layer_lists_the_layers(lr: torch.Tensor):
    with pytest.raises(ReflashError, match=r"layer 'b9': .*srresnet has first, b1 to b5, hr, last"):
        small("srresnet").forward_features(lr, ["b9"])
    with pytest.raises(ReflashError, match="layer 'middle'"):
        small("rrdb").forward_from("middle", lr, lr)


@pytest.mark.parametrize("name", SMALL)
def test_a_layer_is_what_the_next_convolution_reads(name: str, lr: torch.Tensor):
    """In training mode too, where dropout acts between a stage and the next."""
    network = small(name, "b16-channel-p0.5+conv_hr-channel-p0.5+last_conv-element-p0.5").train()
    after_body = network.upconv1 if name == "srresnet" else network.conv_body
    read = {}
    for layer, conv in (
        (f"b{network.settings.blocks}", after_body),
        ("hr", network.conv_hr),
        ("last", network.conv_last),
    ):
        conv.register_forward_pre_hook(lambda _, args, layer=layer: read.update({layer: args[0]}))
    _, layers = network.forward_features(lr)
    assert len(read) == 3
    for layer, tensor in read.items():
        assert torch.equal(layers[layer], tensor)


@pytest.mark.parametrize("scale", [2, 3])
def test_srresnet_other_scales(scale: int, lr: torch.Tensor):
    network = build_network(SRResNetSettings(features=4, blocks=1, scale=scale)).eval()
    assert network(lr).shape == (2, 3, 5 * scale, 7 * scale)


def test_without_global_residual_the_upsampled_input_is_missing(lr: torch.Tensor):
    network = small("srresnet")
    plain = build_network(SMALL["srresnet"].model_copy(update={"global_residual": False})).eval()
    plain.load_state_dict(network.state_dict())
    base = torch.nn.functional.interpolate(lr, scale_factor=4, mode="bilinear")
    torch.testing.assert_close(network(lr) - plain(lr), base)


def spread(parameter: torch.Tensor, expected_std: float) -> bool:
    """Zero mean and the expected standard deviation, within five standard errors."""
    error = 5 / math.sqrt(parameter.numel())
    return bool(
        abs(parameter.mean()) < error * expected_std
        and abs(parameter.std() / expected_std - 1) < error
    )


@pytest.mark.parametrize("variant", ["authors", "basicsr"])
def test_srresnet_starts_from_shrunken_kaiming_weights(variant: str):
    torch.manual_seed(3)
    network = build_network(SRResNetSettings(blocks=2, first_upconv_init=variant))
    for name, weight in network.named_parameters():
        fan_in = 27 if name.startswith("conv_first") else 576
        if variant == "authors" and name.startswith("upconv1"):
            assert weight.abs().max() <= 1 / math.sqrt(fan_in)
            assert spread(weight, 1 / math.sqrt(3 * fan_in))
        elif name.endswith("bias"):
            assert not weight.any()
        else:
            assert spread(weight, 0.1 * math.sqrt(2 / fan_in)), name
            assert weight.abs().max() > 0.1 * 2.5 * math.sqrt(2 / fan_in)


def test_rrdb_starts_from_shrunken_kaiming_weights_in_its_blocks_only():
    torch.manual_seed(3)
    network = build_network(RRDBSettings(blocks=1))
    for name, weight in network.named_parameters():
        module = network.get_submodule(name.rsplit(".", 1)[0])
        fan_in = module.in_channels * 9
        if not name.startswith("body."):
            assert weight.abs().max() <= 1 / math.sqrt(fan_in)
            assert spread(weight, 1 / math.sqrt(3 * fan_in)), name
        elif name.endswith("bias"):
            assert not weight.any()
        else:
            assert spread(weight, 0.1 * math.sqrt(2 / fan_in)), name


def test_initial_weights_depend_on_the_seed_and_not_on_the_dropout():
    def weights(seed: int, dropout: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_network(SMALL["srresnet"], parse_dropout(dropout)).state_dict()

    plain = weights(0, "none")
    for dropout in ("last_conv-channel-p0.7", "all-element-p0.1+b4-channel-p0.2"):
        other = weights(0, dropout)
        assert list(other) == list(plain)
        assert all(torch.equal(other[key], plain[key]) for key in plain)
    assert not torch.equal(weights(1, "none")["conv_first.weight"], plain["conv_first.weight"])


def test_keys_are_basicsrs():
    srresnet = list(small("srresnet", "all-channel-p0.1+last_conv-channel-p0.1").state_dict())
    assert srresnet[2:6] == [
        f"body.0.conv{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")
    ]
    assert {key.split(".")[0] for key in srresnet} == {
        *("conv_first", "body", "upconv1", "upconv2", "conv_hr", "conv_last")
    }
    rrdb = list(small("rrdb", "b8-channel-p0.1").state_dict())
    assert rrdb[2] == "body.0.rdb1.conv1.weight"
    assert {key.split(".")[0] for key in rrdb} == {
        *("conv_first", "body", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
    }


@pytest.mark.parametrize("name", SMALL)
def test_a_copy_is_independent(name: str, lr: torch.Tensor):
    network = small(name, "last_conv-channel-p0.5")
    before = network(lr)
    clone = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in clone.parameters():
            parameter.zero_()
    clone.train()
    assert torch.equal(network(lr), before)
    assert not torch.equal(clone.eval()(lr), before)
