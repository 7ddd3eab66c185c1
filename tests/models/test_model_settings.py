import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from reflash.core.errors import ReflashError
from reflash.core.settings import Settings
from reflash.models.settings import (
    Dropout,
    DropoutLayer,
    NetworkSettings,
    RRDBSettings,
    SRResNetSettings,
    parse_dropout,
)

PLACES = [*(f"b{n}" for n in range(1, 17)), "conv_hr", "last_conv", "quarter", "half", "all"]


class Run(Settings):
    dropout: Dropout = Dropout()
    """The field under test."""


@st.composite
def dropouts(draw: st.DrawFn) -> Dropout:
    places = draw(st.lists(st.sampled_from(PLACES[:-3]), unique=True, max_size=4))
    places += draw(st.lists(st.sampled_from(PLACES[-3:]), max_size=1))
    p = st.floats(0, 1, exclude_min=True, exclude_max=True) | st.sampled_from([0.1, 0.05, 0.7])
    dimension = st.sampled_from(["channel", "element"])
    return Dropout(
        DropoutLayer(where=where, dimension=draw(dimension), p=draw(p)) for where in places
    )


@given(dropouts())
def test_text_is_read_back_and_is_safe_in_a_path(dropout: Dropout):
    text = str(dropout)
    assert parse_dropout(text) == dropout
    assert not set(text) & set("/\\ :*?\"'<>|%#&$!")


@given(dropouts(), st.randoms())
def test_order_of_layers_does_not_matter(dropout: Dropout, random):
    layers = list(dropout)
    random.shuffle(layers)
    assert str(parse_dropout("+".join(map(str, layers)) or "none")) == str(dropout)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("none", "none"),
        ("last_conv-channel-p0.70", "last_conv-channel-p0.7"),
        ("b8-element-p.2", "b8-element-p0.2"),
        ("conv_hr-channel-p0.05", "conv_hr-channel-p0.05"),
        ("b4-channel-p0.00001", "b4-channel-p0.00001"),
        ("last_conv-channel-p0.1+b4-channel-p0.1", "b4-channel-p0.1+last_conv-channel-p0.1"),
        (
            "last_conv-element-p0.3+conv_hr-channel-p0.2+b16-channel-p0.1+b9-channel-p0.1",
            "b9-channel-p0.1+b16-channel-p0.1+conv_hr-channel-p0.2+last_conv-element-p0.3",
        ),
        ("b13-channel-p0.1+quarter-channel-p0.1", "quarter-channel-p0.1+b13-channel-p0.1"),
        ("half-channel-p0.1+b8-channel-p0.1", "b8-channel-p0.1+half-channel-p0.1"),
        ("b1-channel-p0.1+all-channel-p0.1", "all-channel-p0.1+b1-channel-p0.1"),
    ],
)
def test_canonical_text(text: str, canonical: str):
    assert str(parse_dropout(text)) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not understood; write none, or PLACE-DIMENSION-pP"),
        ("1st-channel-p0.1", "no place is called '1st'; places are b1 to b16"),
        ("b0-channel-p0.1", "no place is called 'b0'"),
        ("b17-channel-p0.1", "no place is called 'b17'"),
        ("b4-pixel-p0.1", "dimensions are channel, element"),
        ("b4-channel-0.1", "'b4-channel-0.1' is not understood"),
        ("b4-channel-p1e-3", "is not understood"),
        ("b4-channel-p-0.1", "is not understood"),
        ("b4-channel-p0", "say none instead"),
        ("b4-channel-p0.0", "say none instead"),
        ("b4-channel-p1", "p is 1 but must lie above 0 and below 1"),
        ("b4-channel-p1.5", "p is 1.5 but"),
        ("none+b4-channel-p0.1", "'none' is not understood"),
        ("b4-channel-p0.1+b4-element-p0.2", "b4 is given twice"),
        ("quarter-channel-p0.1+half-channel-p0.1", "overlap"),
        ("quarter-channel-p0.1+all-element-p0.1", "overlap"),
    ],
)
def test_wrong_text_is_one_clear_line(text: str, says: str):
    with pytest.raises(ReflashError) as caught:
        parse_dropout(text)
    message = str(caught.value)
    assert says in message
    assert message.startswith(f"dropout '{text}': ")
    assert "\n" not in message
    with pytest.raises(ValidationError) as caught_in_settings:
        Run.model_validate({"dropout": text})
    (error,) = caught_in_settings.value.errors()
    assert error["loc"] == ("dropout",)
    assert error["msg"] == f"Value error, {message}"


def test_dropout_is_a_text_in_a_settings_model():
    run = Run.model_validate({"dropout": "b4-channel-p0.1"})
    assert run.dropout == (DropoutLayer(where="b4", dimension="channel", p=0.1),)
    assert run.model_dump(mode="json") == {"dropout": "b4-channel-p0.1"}
    assert Run.model_validate_json(run.model_dump_json()) == run
    assert Run(dropout=run.dropout) == run
    with pytest.raises(ValidationError, match="a dropout is a text, not None"):
        Run.model_validate({"dropout": None})


@given(dropouts())
def test_json_schema_accepts_every_canonical_text(dropout: Dropout):
    import re

    schema = Run.model_json_schema()["properties"]["dropout"]
    assert schema["type"] == "string"
    assert re.search(schema["pattern"], str(dropout))
    assert not re.search(schema["pattern"], f"{dropout}+b17-channel-p0.1")


def test_dropout_survives_copies():
    dropout = parse_dropout("b4-channel-p0.1+last_conv-channel-p0.1")
    for other in (copy.deepcopy(dropout), pickle.loads(pickle.dumps(dropout))):
        assert type(other) is Dropout
        assert other == dropout
    assert {dropout: 1}[parse_dropout(str(dropout))] == 1


def test_network_settings_are_chosen_by_name():
    adapter: TypeAdapter[NetworkSettings] = TypeAdapter(NetworkSettings)
    assert adapter.validate_python({"name": "srresnet", "blocks": 4}) == SRResNetSettings(blocks=4)
    assert adapter.validate_python({"name": "rrdb"}) == RRDBSettings(
        features=64, blocks=23, growth=32, scale=4
    )
    for wrong in (
        {"name": "edsr"},
        {"name": "srresnet", "growth": 32},
        {"name": "rrdb", "scale": 2},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_descriptions_do_not_import_torch():
    program = (
        "import sys, reflash.models.settings, reflash.models.placement, reflash.models.describe;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
