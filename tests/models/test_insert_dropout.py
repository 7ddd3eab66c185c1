import copy
import io
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from reflash.core.errors import ReflashError
from reflash.models.build import build_network
from reflash.models.dropout import insert_dropout
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout

SMALL = {
    "srresnet": SRResNetSettings(features=6, blocks=2),
    "rrdb": RRDBSettings(features=6, blocks=2, growth=4),
}
LR = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(1))


class Foreign(nn.Module):
    """Somebody else's network, with an output convolution of another name."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.tail = nn.Sequential(nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2)))
        self.experts = nn.ModuleList([nn.Identity()])
        self.empty = nn.Sequential()

    def forward(self, lr: Tensor) -> Tensor:
        return self.tail(self.head(lr).relu())


def foreign(p: float | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = Foreign()
    return model if p is None else insert_dropout(model, before="tail.0.0", p=p)


def outputs(model: nn.Module, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return model(LR)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("before", "where"), [("conv_last", "last_conv"), ("conv_hr", "conv_hr"), ("body.1", "b8")]
)
@pytest.mark.parametrize("dimension", ["channel", "element"])
def test_equals_the_network_built_with_dropout(name, before, where, dimension):
    torch.manual_seed(0)
    built = build_network(SMALL[name], parse_dropout(f"{where}-{dimension}-p0.4"))
    torch.manual_seed(0)
    plain = build_network(SMALL[name])
    inserted = insert_dropout(plain, before, 0.4, dimension)
    assert inserted is plain
    assert torch.equal(outputs(inserted), outputs(built))
    assert torch.equal(outputs(inserted.eval()), outputs(built.eval()))


def test_default_is_the_papers_line():
    torch.manual_seed(0)
    built = build_network(SMALL["srresnet"], parse_dropout("last_conv-channel-p0.7"))
    torch.manual_seed(0)
    inserted = insert_dropout(build_network(SMALL["srresnet"]))
    assert torch.equal(outputs(inserted), outputs(built))


def test_a_foreign_model_drops_the_input_of_the_module_named():
    model, plain = foreign(0.3), foreign()
    torch.manual_seed(3)
    expected = plain.tail(nn.functional.dropout2d(plain.head(LR).relu(), 0.3))
    assert torch.equal(outputs(model), expected)
    assert torch.equal(model.eval()(LR), plain(LR))
    assert torch.equal(outputs(model.train()), expected)


def test_an_inserted_dropout_starts_in_the_mode_of_the_model():
    model = insert_dropout(foreign().eval(), before="tail.0.0")
    assert torch.equal(model(LR), foreign()(LR))


@pytest.mark.parametrize("before", ["tail", "tail.0"])
def test_before_a_sequential_is_before_its_first_layer(before: str):
    model = insert_dropout(foreign(), before=before, p=0.3)
    assert torch.equal(outputs(model), outputs(foreign(0.3)))


def test_state_dict_keys_and_weights_are_unchanged():
    model, plain = foreign(0.3), foreign()
    assert list(model.state_dict()) == list(plain.state_dict())
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    plain.load_state_dict(torch.load(stored, weights_only=True))
    model.load_state_dict(plain.state_dict())


def test_a_second_call_replaces_the_dropout():
    model = foreign(0.9)
    insert_dropout(model, before="tail.0.0", p=0.3)
    assert torch.equal(outputs(model), outputs(foreign(0.3)))
    assert sum(isinstance(module, nn.Dropout2d) for module in model.modules()) == 1
    insert_dropout(model, before="tail.0.0", p=0.3, dimension="element")
    assert not any(isinstance(module, nn.Dropout2d) for module in model.modules())


def test_a_copy_has_a_dropout_of_its_own():
    model = foreign(0.3)
    clone = copy.deepcopy(model).eval()
    assert torch.equal(clone(LR), foreign()(LR))
    assert torch.equal(outputs(model), outputs(foreign(0.3)))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    averaged.eval()
    assert torch.equal(averaged(LR), foreign()(LR))


def test_a_whole_pickled_model_keeps_its_dropout():
    stored = io.BytesIO()
    torch.save(foreign(0.3), stored)
    stored.seek(0)
    assert torch.equal(outputs(torch.load(stored, weights_only=False)), outputs(foreign(0.3)))


def test_further_inputs_are_passed_on():
    class Gate(nn.Module):
        def forward(self, x: Tensor, gain: float, *, shift: float) -> Tensor:
            return gain * x + shift

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = Gate()

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x, 2.0, shift=1.0)

    sr = insert_dropout(Model(), before="gate", p=0.5)(torch.ones(64, 1, 2, 2))
    assert set(sr.unique().tolist()) == {1.0, 5.0}


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("conv_lost", "the model has no module 'conv_lost'; near names: conv_last"),
        ("body.7", "near names: body.1, body.0"),
        ("xyzzy", "its last layers: .*'conv_hr', 'conv_last'"),
        ("", "the model has no module ''"),
    ],
)
def test_unknown_module_lists_near_names(before: str, says: str):
    with pytest.raises(ReflashError, match=says):
        insert_dropout(build_network(SMALL["srresnet"]), before=before)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"before": "experts"}, "'experts' is a ModuleList, which holds layers; name one of them"),
        ({"before": "empty"}, "'empty' is a Sequential"),
        ({"before": "head", "p": 1.0}, "p: p is 1 but must lie above 0 and below 1"),
        ({"before": "head", "p": 0}, "p: dropout with p = 0 drops nothing"),
        ({"before": "head", "dimension": "pixel"}, "no such dimension 'pixel'"),
    ],
)
def test_wrong_arguments_leave_the_model_alone(arguments, says: str):
    model = foreign()
    with pytest.raises(ReflashError, match=says):
        insert_dropout(model, **arguments)
    assert list(dict(model.named_modules())) == list(dict(foreign().named_modules()))


def test_a_container_with_a_forward_of_its_own_is_refused():
    class Loop(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            for layer in self:
                x = layer(x) + x
            return x

    model = nn.Sequential(OrderedDict(loop=Loop(nn.Conv2d(3, 3, 1))))
    with pytest.raises(ReflashError, match="'loop' is a Loop, which holds layers"):
        insert_dropout(model, before="loop")


def test_a_module_called_with_keywords_only():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(input=x)

    with pytest.raises(ReflashError, match="Conv2d is called with keywords only"):
        insert_dropout(Model(), before="last")(LR)


def test_tokens_have_no_channels_to_drop() -> None:
    """(B, N, C) would lose whole tokens."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    insert_dropout(model, before="1", p=0.5)
    with pytest.raises(ReflashError, match=r"Linear reads a tensor of \(2, 9, 4\); channels are"):
        model.train()(torch.rand(2, 9, 4))
    insert_dropout(model, before="1", p=0.5, dimension="element")
    assert model(torch.rand(2, 9, 4)).shape == (2, 9, 4)
