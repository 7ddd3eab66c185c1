"""Names of models: parsing, braces, labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflash.core.errors import ReflashError
from reflash.models.names import (
    BICUBIC,
    baseline_of,
    describe_model,
    expand_braces,
    expand_models,
    parse_model,
    regularisers_of,
)


def test_braces_expand_in_order() -> None:
    assert expand_braces("a/{b,c}-p{1,2}") == ["a/b-p1", "a/b-p2", "a/c-p1", "a/c-p2"]
    assert expand_braces("plain") == ["plain"]


words = st.lists(st.text("abz019_", min_size=1, max_size=4), min_size=1, max_size=4)


@given(words, words)
def test_braces_give_every_combination_once(first: list[str], second: list[str]) -> None:
    expanded = expand_braces(f"{{{','.join(first)}}}/x/{{{','.join(second)}}}")
    assert expanded == [f"{a}/x/{b}" for a in first for b in second]


def test_equal_models_are_one() -> None:
    names = ["srresnet/multi/last_conv-channel-p0.70", "srresnet/multi/last_conv-channel-p{.7,0.2}"]
    assert expand_models(names) == (
        "srresnet/multi/last_conv-channel-p0.7",
        "srresnet/multi/last_conv-channel-p0.2",
    )


def test_labels_say_what_a_model_is() -> None:
    assert describe_model("srresnet/multi/none") == "SRResNet"
    label = describe_model("rrdb/multi/last_conv-channel-p0.5")
    assert label == "RRDB + last-conv channel p = 0.5"
    assert describe_model("srresnet/multi/b8-element-p0.2") == "SRResNet + b8 element p = 0.2"
    assert describe_model("bicubic") == "Bicubic"
    assert describe_model("rrdb/denoise/none") == "RRDB (denoise)"
    assert describe_model("srresnet/multi/none", {"srresnet/multi/none": "base"}) == "base"


@pytest.mark.parametrize(
    ("model", "baseline"),
    [
        ("rrdb/single/b4-element-p0.2", "rrdb/single/none"),
        ("rrdb/single/b4-channel-p0.1+last_conv-channel-p0.1", "rrdb/single/none"),
        ("rrdb/single/none", None),
        (BICUBIC, None),
    ],
)
def test_baseline_is_the_same_network_and_setting_without_dropout(
    model: str, baseline: str | None
) -> None:
    assert baseline_of(model) == baseline


def test_regularisers_are_the_third_part_of_a_name() -> None:
    model = parse_model("srresnet/multi/mixup-0.20+last_conv-channel-p.5+dropblock-1")
    assert model.id == "srresnet/multi/last_conv-channel-p0.5+dropblock-1+mixup-0.2"
    assert str(model.dropout) == "last_conv-channel-p0.5"
    assert model.regularisers == (("dropblock", 1.0), ("mixup", 0.2))
    alone = "rrdb/multi/weight_decay-0.0001"
    assert parse_model(alone).id == alone
    assert not parse_model(alone).dropout
    assert expand_models(["a/multi/{none,mixup-0.1,mixup-1.0}"]) == (
        "a/multi/none",
        "a/multi/mixup-0.1",
        "a/multi/mixup-1",
    )
    assert describe_model(alone) == "RRDB + weight decay 0.0001"
    assert baseline_of(alone) == "rrdb/multi/none"
    assert baseline_of("rrdb/multi/b4-channel-p0.2+mixup-0.1") == "rrdb/multi/none"


@pytest.mark.parametrize("name", ["srresnet/multi/none", "bicubic", "external/x"])
def test_most_models_have_no_other_regularisers(name: str) -> None:
    assert regularisers_of(name) == ()


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("mixup-0.1+mixup-0.2", "regulariser mixup is given twice"),
        ("mixup-p0.1", "'mixup-p0.1' is not understood"),
        ("mixup", "'mixup' is not understood"),
        ("mixup-0.1+none", "none beside"),
        ("mixup--1", "is not understood"),
    ],
)
def test_a_part_that_is_neither_is_refused(part: str, says: str) -> None:
    with pytest.raises(ReflashError, match=says):
        parse_model(f"srresnet/multi/{part}")
