"""Captions say the scale, the seeds and whether a result is evidence."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from reflash.models.names import BICUBIC
from reflash.study.context import (
    Context,
    kind_label,
    listing,
    scale_sentence,
    seeds_sentence,
    sets_phrase,
)


def test_context_survives_json(make_context):
    context = make_context(seeds=(3, 5), crop=2)
    assert Context.model_validate_json(context.model_dump_json()) == context


def test_context_refuses_unknown_keys(make_context):
    with pytest.raises(ValidationError, match="sclae"):
        make_context(sclae="demo")


def test_runs_are_models_times_seeds(make_context):
    context = make_context(models=("a/multi/none", "b/multi/none"), seeds=(0, 7))
    assert context.runs == (
        "a/multi/none/seed0",
        "a/multi/none/seed7",
        "b/multi/none/seed0",
        "b/multi/none/seed7",
    )


def test_label_falls_back_to_the_name(make_context):
    context = make_context(labels={})
    assert context.label("rrdb/multi/none") == "rrdb/multi/none"
    assert context.label(BICUBIC) == "Bicubic"


def test_scale_without_evidence_says_so(make_context):
    assert scale_sentence(make_context()) == (
        "Scale demo: tiny networks. Demo scale: no evidence about the paper."
    )


def test_scale_with_evidence_does_not_warn(make_context):
    context = make_context(evidence="paper", scale="paper", description="the released protocol.")
    assert scale_sentence(context) == "Scale paper: the released protocol."


def test_scale_with_a_fraction_of_the_training_says_how_much(make_context):
    context = make_context(
        evidence="fraction", scale="cpu", fraction="the paper's SRResNet, 4 % of its training"
    )
    assert scale_sentence(context) == (
        "Scale cpu: tiny networks. Partial evidence: the paper's SRResNet, 4 % of its training."
    )


def test_seeds_sentence_names_seeds_and_spread(make_context):
    assert seeds_sentence(make_context(seeds=(4,))) == "One seed (4)."
    several = seeds_sentence(make_context(seeds=(0, 2)), "bands are")
    assert several == "Mean over 2 seeds (0, 2); bands are one standard deviation (n - 1)."
    assert seeds_sentence(make_context(seeds=(0, 2)), "") == "Mean over 2 seeds (0, 2)."


def test_networks_of_others_have_no_seeds(make_context):
    beside = make_context(models=("a/multi/none", "external/x"), seeds=(0, 2))
    assert seeds_sentence(beside, "") == "Mean over 2 seeds (0, 2) of what was trained here."
    alone = make_context(models=("external/x",), seeds=(0, 2))
    assert seeds_sentence(alone) == "Weights from elsewhere: one training of each model."


def test_small_phrases():
    assert sets_phrase({"Set5": 5, "one": 1}) == "Set5 (5 images), one (1 image)"
    assert kind_label("blur_noise_jpeg") == "blur+noise+jpeg"
    assert [listing(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
