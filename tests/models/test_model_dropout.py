import itertools

import pytest
import reference_networks as reference
import torch
from torch import nn
from torch.nn.functional import dropout, dropout2d

from reflash.core.errors import ReflashError
from reflash.models.build import build_network
from reflash.models.dropout import dropout_module
from reflash.models.placement import place
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout
from reflash.models.staged import StagedNetwork

DROP = {"channel": dropout2d, "element": dropout}


def inside(*blocks: int) -> list[tuple[str, int, int]]:
    return [("block", block, n) for block in blocks for n in (1, 2, 3)]


# Where dropout acts in a 16-block SRResNet, read off the paper's figure of the placements.
SRRESNET_SITES = {
    "b4": [("after", 4)],
    "b8": [("after", 8)],
    "b12": [("after", 12)],
    "b16": [("after", 16)],
    "b1": [("after", 1)],
    "conv_hr": ["hr"],
    "last_conv": ["last"],
    "quarter": inside(13, 14, 15, 16),
    "half": inside(*range(9, 17)),
    "all": inside(*range(1, 17)),
}
# In an RRDB of 6 blocks, bK is after block ceil(6 K / 16).
RRDB_SITES = {
    "b4": [("after", 2)],
    "b8": [("after", 3)],
    "b12": [("after", 5)],
    "b16": [("after", 6)],
    "b1": [("after", 1)],
    "conv_hr": ["hr"],
    "last_conv": ["last"],
}
CASES = [
    (network, where, dimension)
    for network, sites in (("srresnet", SRRESNET_SITES), ("rrdb", RRDB_SITES))
    for where, dimension in itertools.product(sites, DROP)
]


def network_with(name: str, text: str) -> StagedNetwork:
    torch.manual_seed(0)
    settings = {
        "srresnet": SRResNetSettings(features=4),
        "rrdb": RRDBSettings(features=4, blocks=6, growth=2),
    }
    network = build_network(settings[name], parse_dropout(text)).double()
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            parameter.normal_(std=0.3 if key.endswith("bias") else 0.2)
    return network


@pytest.fixture(scope="module")
def lr() -> torch.Tensor:
    return torch.rand(2, 3, 4, 3, generator=torch.Generator().manual_seed(1)).double()


def expected_sr(name: str, state, lr: torch.Tensor, layers) -> torch.Tensor:
    """The reference network with torch's own dropout at ``layers``: (sites, dimension, p)."""
    wanted = {site: (dimension, p) for sites, dimension, p in layers for site in sites}
    met = []

    def drop(site, x):
        if site not in wanted:
            return x
        met.append(site)
        dimension, p = wanted[site]
        return DROP[dimension](x, p)

    sr = getattr(reference, name)(state, lr, drop)["sr"]
    assert set(met) == set(wanted)
    return sr


@pytest.mark.parametrize(("name", "where", "dimension"), CASES)
def test_each_place_drops_just_there(name: str, where: str, dimension: str, lr: torch.Tensor):
    """Same seed, same draws in the same order: any other place, count, order or p would differ."""
    network = network_with(name, f"{where}-{dimension}-p0.3").train()
    sites = {"srresnet": SRRESNET_SITES, "rrdb": RRDB_SITES}[name][where]
    torch.manual_seed(5)
    sr = network(lr)
    torch.manual_seed(5)
    expected = expected_sr(name, network.state_dict(), lr, [(sites, dimension, 0.3)])
    torch.testing.assert_close(sr, expected)

    sr.square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key

    network.eval()
    plain = getattr(reference, name)(network.state_dict(), lr)["sr"]
    torch.testing.assert_close(network(lr), plain)
    assert not torch.allclose(sr, plain)


def test_several_places_at_once(lr: torch.Tensor):
    text = "b4-element-p0.1+half-channel-p0.2+b12-channel-p0.4+conv_hr-element-p0.5"
    network = network_with("srresnet", f"{text}+last_conv-channel-p0.6").train()
    torch.manual_seed(6)
    sr = network(lr)
    torch.manual_seed(6)
    layers = [
        ([("after", 4)], "element", 0.1),
        (inside(*range(9, 17)), "channel", 0.2),
        ([("after", 12)], "channel", 0.4),
        (["hr"], "element", 0.5),
        (["last"], "channel", 0.6),
    ]
    expected = expected_sr("srresnet", network.state_dict(), lr, layers)
    torch.testing.assert_close(sr, expected)


@pytest.mark.parametrize("name", ["srresnet", "rrdb"])
@pytest.mark.parametrize("dimension", DROP)
def test_what_the_last_convolution_reads(name: str, dimension: str):
    settings = (
        SRResNetSettings(features=64, blocks=1)
        if name == "srresnet"
        else RRDBSettings(features=64, blocks=1, growth=4)
    )
    torch.manual_seed(0)
    network = build_network(settings, parse_dropout(f"last_conv-{dimension}-p0.7"))
    lr = torch.rand(8, 3, 6, 6)
    kept = network.eval().forward_features(lr, ["last"])[1]["last"]
    seen = network.train().forward_features(lr, ["last"])[1]["last"]
    zero = seen == 0
    torch.testing.assert_close(seen[~zero], kept[~zero] / 0.3)
    fraction = zero.float().mean((2, 3))
    if dimension == "channel":
        assert set(fraction.unique().tolist()) == {0.0, 1.0}
        assert len({tuple(image.tolist()) for image in fraction}) == 8  # drawn per image
        draws = fraction.numel()
    else:
        assert ((fraction > 0.5) & (fraction < 0.9)).all()
        draws = zero.numel()
    assert abs(zero.float().mean() - 0.7) < 5 * (0.7 * 0.3 / draws) ** 0.5


@pytest.mark.parametrize(
    ("text", "blocks"),
    [("quarter-channel-p0.1", 4), ("half-element-p0.2", 8), ("all-channel-p0.1", 16)],
)
def test_a_dropout_residual_block_has_three_dropouts(text: str, blocks: int):
    network = network_with("srresnet", text)
    found = [
        [type(m) for m in block.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
        for block in network.body
    ]
    kind = nn.Dropout2d if "channel" in text else nn.Dropout
    assert found == [[]] * (16 - blocks) + [[kind] * 3] * blocks


@pytest.mark.parametrize(
    ("blocks", "after", "quarter", "half"),
    [
        (1, [1, 1, 1, 1], [1], [1]),
        (2, [1, 1, 2, 2], [2], [2]),
        (4, [1, 2, 3, 4], [4], [3, 4]),
        (6, [2, 3, 5, 6], [5, 6], [4, 5, 6]),
        (8, [2, 4, 6, 8], [7, 8], [5, 6, 7, 8]),
        (16, [4, 8, 12, 16], [13, 14, 15, 16], list(range(9, 17))),
        (32, [8, 16, 24, 32], list(range(25, 33)), list(range(17, 33))),
    ],
)
def test_places_keep_their_meaning_at_any_depth(blocks, after, quarter, half):
    settings = SRResNetSettings(blocks=blocks)

    def placed(where: str):
        return place(settings, parse_dropout(f"{where}-channel-p0.1"))

    assert [list(placed(f"b{k}").after) for k in (4, 8, 12, 16)] == [[f"b{n}"] for n in after]
    assert list(placed("quarter").inside) == quarter
    assert list(placed("half").inside) == half
    assert list(placed("all").inside) == list(range(1, blocks + 1))


def test_places_of_the_papers_rrdb():
    text = (
        "b4-channel-p0.1+b8-channel-p0.1+b12-channel-p0.1+b16-channel-p0.1+last_conv-channel-p0.5"
    )
    assert list(place(RRDBSettings(), parse_dropout(text)).after) == [
        "b6",
        "b12",
        "b18",
        "b23",
        "last",
    ]


@pytest.mark.parametrize("where", ["quarter", "half", "all"])
def test_rrdb_has_no_dropout_residual_blocks(where: str):
    with pytest.raises(ReflashError, match="rrdb has no dropout residual blocks; choose b1 to b16"):
        build_network(RRDBSettings(blocks=1), parse_dropout(f"{where}-channel-p0.1"))


def test_two_places_in_one_block_of_a_small_network():
    with pytest.raises(ReflashError, match="b1 and b2 are both after block 1 of 4"):
        place(SRResNetSettings(blocks=4), parse_dropout("b1-channel-p0.1+b2-channel-p0.1"))


def test_dropout_module_by_dimension():
    channel, element = dropout_module("channel", 0.3), dropout_module("element", 0.4)
    assert type(channel) is nn.Dropout2d
    assert type(element) is nn.Dropout
    assert (channel.p, element.p) == (0.3, 0.4)
    for wrong in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ReflashError, match="p: "):
            dropout_module("channel", wrong)
    with pytest.raises(ReflashError, match="dimension: no such dimension 'pixel'"):
        dropout_module("pixel", 0.1)  # type: ignore[arg-type]
