import pytest
import torch
from torch import nn

from reflash.models.build import build_network
from reflash.models.describe import describe, flatten
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout

CASES = [
    (SRResNetSettings(features=4), "none"),
    (SRResNetSettings(features=4), "last_conv-channel-p0.7"),
    (SRResNetSettings(features=4), "quarter-channel-p0.1"),
    (SRResNetSettings(features=4, blocks=5), "half-element-p0.2+b8-channel-p0.3"),
    (
        SRResNetSettings(features=4, blocks=4, scale=2),
        "all-channel-p0.1+b4-element-p0.2+b16-channel-p0.3+conv_hr-element-p0.4+last_conv-channel-p0.5",
    ),
    (RRDBSettings(features=4, blocks=2, growth=2), "none"),
    (
        RRDBSettings(features=4, blocks=3, growth=2),
        "b4-channel-p0.1+b16-element-p0.2+conv_hr-channel-p0.3+last_conv-element-p0.5",
    ),
]


@pytest.mark.parametrize(("settings", "text"), CASES)
def test_described_layers_are_those_that_run_in_their_order(settings, text: str):
    dropout = parse_dropout(text)
    network = build_network(settings, dropout)
    ran = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Dropout | nn.Dropout2d):
            module.register_forward_hook(lambda m, *_, name=name: ran.append((name, m)))
    network(torch.rand(1, 3, 3, 3))

    described = [
        stage
        for stage in flatten(describe(settings, dropout))
        if stage.kind in ("conv", "upsample", "dropout")
    ]
    assert [stage.name for stage in described] == [name for name, _ in ran]
    for stage, (_, module) in zip(described, ran, strict=True):
        if stage.kind == "dropout":
            kind = nn.Dropout2d if stage.layer.dimension == "channel" else nn.Dropout
            assert type(module) is kind
            assert module.p == stage.layer.p
            assert stage.layer in dropout
        else:
            assert type(module) is nn.Conv2d
            assert stage.layer is None
    drops = [m for m in network.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
    assert len(drops) == sum(stage.kind == "dropout" for stage in described)


def test_a_dropout_residual_block_as_the_paper_draws_it():
    stages = describe(SRResNetSettings(blocks=1), parse_dropout("all-channel-p0.1"))
    (block,) = [stage for stage in stages if stage.kind == "block"]
    assert [step.kind for step in block.parts] == [
        *("conv", "dropout", "activation", "conv", "dropout", "add", "dropout")
    ]


def test_top_level_of_a_small_srresnet():
    settings = SRResNetSettings(blocks=2)
    stages = describe(settings, parse_dropout("b8-channel-p0.2+last_conv-element-p0.5"))
    assert [(stage.name, stage.kind) for stage in stages if stage.kind != "activation"] == [
        ("conv_first", "conv"),
        ("body.0", "block"),
        ("dropout_after.b1", "dropout"),
        ("body.1", "block"),
        ("upconv1", "upsample"),
        ("upconv2", "upsample"),
        ("conv_hr", "conv"),
        ("dropout_after.last", "dropout"),
        ("conv_last", "conv"),
        ("conv_last.add", "add"),
    ]
    names = [stage.name for stage in stages]
    assert names.index("conv_hr.activation") == names.index("dropout_after.last") - 1
    without = describe(
        settings.model_copy(update={"global_residual": False}), parse_dropout("none")
    )
    assert [stage.name for stage in without if stage.kind == "add"] == []
