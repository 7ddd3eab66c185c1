"""The paper's values and how each is known."""

from __future__ import annotations

import pytest

from reflash.degradations.settings import KINDS
from reflash.models.names import parse_model
from reflash.paper.reference import (
    EVIDENCE,
    reference_gain,
    reference_psnr,
    reference_table,
)

# Digitised from the authors' bar chart: clean, blur, noise, jpeg.
BARS = {
    "srresnet/multi/none": (24.89, 24.76, 23.75, 23.70),
    "srresnet/multi/last_conv-channel-p0.7": (25.67, 25.34, 24.14, 24.06),
    "rrdb/multi/none": (25.21, 25.14, 24.01, 23.86),
    "rrdb/multi/last_conv-channel-p0.5": (26.05, 26.09, 24.64, 24.32),
}


@pytest.mark.parametrize("model", BARS)
def test_bars_of_the_authors_chart(model):
    for kind, value in zip(("clean", "blur", "noise", "jpeg"), BARS[model], strict=True):
        assert reference_psnr(model, "Set5", kind) == (value, "digitised")


@pytest.mark.parametrize("model", BARS)
@pytest.mark.parametrize("kind", [*KINDS[4:], "mean"])
def test_other_degradations_were_not_found(model, kind):
    assert reference_psnr(model, "Set5", kind) is None


@pytest.mark.parametrize("test_set", ["Set14", "BSD100", "photos", "Set5_GTmod12"])
def test_nothing_is_known_of_other_test_sets(test_set):
    assert all(reference_psnr(m, test_set, k) is None for m in BARS for k in KINDS)


@pytest.mark.parametrize(
    "model",
    [
        "srresnet/single/none",
        "srresnet/multi/last_conv-channel-p0.5",
        "srresnet/multi/last_conv-element-p0.7",
        "bicubic",
    ],
)
def test_nothing_is_known_of_other_models(model):
    assert reference_psnr(model, "Set5", "clean") is None


def test_gain_is_the_difference_of_two_bars_or_unknown():
    dropped, plain = "rrdb/multi/last_conv-channel-p0.5", "rrdb/multi/none"
    assert reference_gain(dropped, plain, "Set5", "blur") == (0.95, "digitised")  # 26.09 - 25.14
    assert reference_gain(dropped, plain, "Set5", "blur_noise") is None
    assert reference_gain(dropped, "rrdb/single/none", "Set5", "blur") is None


def test_every_row_has_evidence_and_a_value_unless_not_found():
    table = reference_table()
    for column in ("evidence", "model_evidence", "set_evidence"):
        assert set(table[column]) <= set(EVIDENCE)
    assert list(table["psnr"].isna()) == list(table["evidence"] == "not found")
    assert (table.loc[table["evidence"] != "not found", "source"] != "").all()
    assert not table.duplicated(["model", "set", "kind"]).any()


def test_what_the_values_belong_to_is_marked_as_inferred():
    table = reference_table()
    set5 = table[table["set"] == "Set5"]
    assert set(set5["set_evidence"]) == {"inferred"}
    dropped = set5[set5["model"].str.contains("last_conv")]
    assert set(dropped["model_evidence"]) == {"inferred"}


def test_restated_value_is_no_cell_of_the_benchmark():
    table = reference_table()
    restated = table[table["evidence"] == "restated"].to_dict("records")
    assert [(r["psnr"], r["set"], r["kind"] in KINDS) for r in restated] == [
        (22.438, "Set14", False)
    ]


def test_models_have_the_names_that_studies_use():
    assert all(parse_model(model).id == model for model in reference_table()["model"])
