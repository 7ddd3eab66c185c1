"""Regularisers beside dropout: what is compared, chosen, tested and shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reflash.degradations.settings import KINDS
from reflash.degradations.tasks import TASKS
from reflash.paper.claims.model import combine, verdict_text
from reflash.paper.claims.tests import examine_claims
from reflash.paper.figures import regulariser_gains
from reflash.paper.figures.drawing import redraw, write_figure
from reflash.paper.regularisers import best_validated, kind_of, strength_of
from reflash.paper.tables import regularisers
from reflash.paper.tables.dropout_grid import gather as grid
from reflash.paper.tables.layout import to_markdown
from reflash.paper.tables.registry import make_table, print_again
from reflash.study.artefacts import (
    Claims,
    DropoutGrid,
    FigureStyle,
    RegulariserGains,
    Regularisers,
)
from reflash.study.context import Context
from reflash.study.inputs import Inputs

NONE = "srresnet/multi/none"
DROPOUT = "srresnet/multi/last_conv-channel-p0.7"
WEAK, STRONG = "srresnet/multi/mixup-0.2", "srresnet/multi/mixup-1"
DECAY = "srresnet/multi/weight_decay-0.1"
BOTH = "srresnet/multi/last_conv-channel-p0.7+mixup-1"
EFFECTS = {NONE: 0.0, DROPOUT: 0.5, WEAK: 1.5, STRONG: 1.0, DECAY: 0.1}
VALIDATED = {NONE: 20.0, DROPOUT: 21.0, WEAK: 20.5, STRONG: 22.0, DECAY: 20.1}
IMAGES = 12
SETTINGS = Claims(resamples=400)


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    return make_context(models=tuple(EFFECTS))


@pytest.fixture
def files(write_rows: Callable[..., Path]) -> Inputs:
    rng = np.random.default_rng(0)
    level = 25 + rng.normal(0, 2, IMAGES)
    evaluations, concentration, chi, logs = [], [], [], []
    for model, effect in EFFECTS.items():
        run = f"{model}/seed0"
        of_model = level + effect + rng.normal(0, 0.05, IMAGES)
        evaluations += [
            (run, "photos", kind, f"image{i:02}", value - step)
            for step, kind in enumerate(KINDS)
            for i, value in enumerate(of_model)
        ]
        concentration += [
            (run, "image00", layer, gini, 0.9)
            for layer, gini in (("b1", 0.9), ("last", 0.5 - effect / 10))
        ]
        spaces = (("pca", 9.0), ("tsne", 8.0), ("paired", 3.0 + effect))
        chi += [(run, "last", space, value) for space, value in spaces]
        logs += [(run, 10, 10.0), (run, 20, VALIDATED[model])]
    return Inputs(
        evaluations=[write_rows("evaluation", "run,set,kind,image,psnr", evaluations)],
        concentration=[write_rows("concentration", "run,image,layer,gini,entropy", concentration)],
        chi=[write_rows("chi", "run,layer,space,chi", chi)],
        logs=[write_rows("log", "run,iteration,psnr", logs)],
    )


def test_a_kind_has_several_strengths() -> None:
    assert [kind_of(m) for m in (WEAK, STRONG)] == ["mixup", "mixup"]
    assert [strength_of(m) for m in (WEAK, STRONG, NONE)] == ["0.2", "1", ""]
    assert kind_of(BOTH) == "last-conv channel dropout + mixup"
    assert strength_of(BOTH) == "0.7 + 1"


def test_validation_chooses_a_strength_and_the_test_images_do_not(
    context: Context, files: Inputs
) -> None:
    best = best_validated(files.logs, context)
    assert best["srresnet/multi", "mixup"] == STRONG  # although WEAK is better on the test images
    assert best["srresnet/multi", "none"] == NONE


def test_table(context: Context, files: Inputs) -> None:
    given = files.required(Regularisers.inputs, "table")
    frame = regularisers.gather(context, Regularisers(), **given).set_index("model")
    assert list(frame.index) == list(EFFECTS)
    assert frame.loc[STRONG, "gain"] == pytest.approx(1.0, abs=0.06)
    assert frame.loc[STRONG, "over_dropout"] == pytest.approx(0.5, abs=0.06)
    for name in ("gain", "over_dropout"):
        low, high = frame.loc[STRONG, f"{name}_low"], frame.loc[STRONG, f"{name}_high"]
        assert low < frame.loc[STRONG, name] < high
        assert high - low < 0.2
    assert math.isnan(frame.loc[NONE, "gain"])
    assert math.isnan(frame.loc[DROPOUT, "over_dropout"])
    assert frame.loc[NONE, "over_dropout"] == pytest.approx(-0.5, abs=0.06)
    assert frame.loc[WEAK, "gini"] == pytest.approx(0.35)
    assert frame.loc[WEAK, "chi"] == pytest.approx(4.5)
    assert frame.loc[WEAK, "mark"] == "best"
    assert frame.loc[NONE, "clean"] - frame.loc[NONE, "psnr"] == pytest.approx(3.5)
    text = to_markdown(regularisers.arrange(frame.reset_index(), context, Regularisers()))
    lines = {
        line.split("|")[1].strip() + line.split("|")[2].strip()
        for line in text.splitlines()
        if line.startswith("|")
    }
    assert {"mixup0.2", "mixup1, chosen", "weight decay0.1, chosen", "none--"} <= lines
    assert "One seed (0)." in text
    several = context.model_copy(update={"seeds": (0, 1)})
    caption = regularisers.arrange(frame.reset_index(), several, Regularisers()).caption
    assert "Mean over 2 seeds (0, 1)." in caption  # intervals are printed, no ±


def test_the_study_says_which_dropout_is_the_papers_and_how_wide_intervals_are(
    make_context: Callable[..., Context], write_rows: Callable[..., Path]
) -> None:
    other = DROPOUT.replace("0.7", "0.3")
    effects = {NONE: 0.0, DROPOUT: 0.5, other: 0.2}
    evaluations, logs, rng = [], [], np.random.default_rng(0)
    for model, effect in effects.items():
        logs.append((f"{model}/seed0", 10, 20.0))
        for image, level in enumerate(25 + effect + rng.normal(0, 0.1, IMAGES)):
            evaluations += [(f"{model}/seed0", "photos", k, f"{image}", level) for k in KINDS]
    given = {
        "evaluations": [write_rows("evaluation", "run,set,kind,image,psnr", evaluations)],
        "logs": [write_rows("log", "run,iteration,psnr", logs)],
    }
    own = Claims(last_conv={"srresnet/multi": 0.3}, confidence=0.6)
    widths = []
    for claims, paper in ((Claims(), DROPOUT), (own, other)):
        context = make_context(models=tuple(effects), claims=claims)
        drawing = regulariser_gains.gather(context, RegulariserGains(), **given)
        frame = drawing.frame.set_index("model")
        assert list(frame.index[frame["dropout"] == 1]) == [paper]
        assert f"{100 * claims.confidence:g} % interval" in drawing.caption
        widths.append(frame.loc[DROPOUT, "high"] - frame.loc[DROPOUT, "low"])
    assert widths[1] < 0.6 * widths[0]


def test_figure(context: Context, files: Inputs, tmp_path: Path) -> None:
    given = files.required(RegulariserGains.inputs, "figure")
    drawing = regulariser_gains.gather(context, RegulariserGains(), **given)
    frame = drawing.frame.set_index("model")
    assert NONE not in frame.index
    assert frame.loc[WEAK, "value"] == pytest.approx(1.5, abs=0.06)
    assert frame.loc[WEAK, "low"] < frame.loc[WEAK, "value"] < frame.loc[WEAK, "high"]
    assert list(frame["best"]) == [1, 0, 1, 1]
    assert list(frame["dropout"]) == [1, 0, 0, 0]
    assert "highest mixup 0.2 with +1.5" in drawing.alt
    write_figure(drawing, tmp_path / "gains", FigureStyle())
    redraw(tmp_path / "gains.csv", tmp_path / "again")
    assert (tmp_path / "gains.pdf").read_bytes() == (tmp_path / "again.pdf").read_bytes()
    style = FigureStyle()
    axes = regulariser_gains.draw(drawing, style).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(list(frame["value"]))
    assert [tick.get_text() for tick in axes.get_yticklabels()][1:] == [
        "mixup 0.2",
        "mixup 1",
        "weight decay 0.1",
    ]


def test_claim_compares_what_validation_chose_with_wider_intervals(
    context: Context, files: Inputs
) -> None:
    (claim,) = [c for c in examine_claims(context, SETTINGS, files).claims if c.number == 8]
    parts = {part.name: part for part in claim.parts}
    assert list(parts) == [
        "mixup (1) less dropout, srresnet/multi",
        "weight decay (0.1) less dropout, srresnet/multi",
    ]
    mixup, decay = claim.parts
    assert mixup.effect == pytest.approx(0.5, abs=0.06)
    assert (mixup.verdict, decay.verdict) == ("supported", "not supported")
    assert "widened for 2 comparisons" in mixup.method
    assert claim.verdict == "supported"
    one = context.model_copy(update={"models": (NONE, DROPOUT, STRONG)})
    (alone,) = [c for c in examine_claims(one, SETTINGS, files).claims if c.number == 8]
    assert alone.parts[0].high - alone.parts[0].low < mixup.high - mixup.low  # type: ignore[operator]


def test_claim_is_of_the_models_whose_logs_there_are(context: Context, files: Inputs) -> None:
    """Others may be shown in no artefact that reads logs."""
    (log,) = files.logs
    lines = Path(log).read_text().splitlines()
    Path(log).write_text("\n".join(line for line in lines if DECAY not in line) + "\n")
    (claim,) = [c for c in examine_claims(context, SETTINGS, files).claims if c.number == 8]
    assert [part.name for part in claim.parts] == ["mixup (1) less dropout, srresnet/multi"]
    assert claim.missing == (f"the training logs of {DECAY}",)
    findings = examine_claims(context, SETTINGS, files)
    assert "in the parts tested" in verdict_text(claim, findings)


def test_dropout_with_another_regulariser_is_no_rival_of_dropout(
    context: Context, files: Inputs
) -> None:
    both = f"{DROPOUT}+mixup-1"
    rows = {"evaluations": files.evaluations, "logs": files.logs}
    for paths in rows.values():
        (path,) = paths
        lines = Path(path).read_text().splitlines()
        lines += [line.replace(STRONG, both) for line in lines if STRONG in line]
        Path(path).write_text("\n".join(lines) + "\n")
    some = context.model_copy(update={"models": (NONE, DROPOUT, both)})
    claims = examine_claims(some, SETTINGS, Inputs(**rows)).claims
    assert 8 not in [claim.number for claim in claims]


def test_a_control_is_no_rival_and_shown(context: Context, files: Inputs) -> None:
    control = "srresnet/multi/second_view-1"
    for paths in (files.evaluations, files.logs, files.concentration, files.chi):
        (path,) = paths
        text = Path(path).read_text()
        Path(path).write_text(text.replace(STRONG, control))
    some = context.model_copy(update={"models": (NONE, DROPOUT, control, DECAY)})
    (claim,) = [c for c in examine_claims(some, SETTINGS, files).claims if c.number == 8]
    assert [part.name for part in claim.parts] == [
        "weight decay (0.1) less dropout, srresnet/multi"
    ]
    assert (claim.missing, claim.verdict) == ((), "not supported")
    given = files.required(Regularisers.inputs, "table")
    frame = regularisers.gather(some, Regularisers(), **given).set_index("model")
    assert frame.loc[control, "over_dropout"] == pytest.approx(0.5, abs=0.06)


def test_a_regulariser_of_another_task_is_not_asked_for(
    context: Context, write_rows: Callable[..., Path]
) -> None:
    models = tuple(model.replace("multi", "denoise") for model in (NONE, DROPOUT, DECAY))
    rows = [
        (f"{model}/seed0", "photos", kind, f"{image}", 25.0 + image)
        for model in models
        for kind in TASKS["denoise"].kinds
        for image in range(3)
    ]
    file = write_rows("evaluation", "run,set,kind,image,psnr", rows)
    of_task = context.model_copy(update={"models": models})
    claims = examine_claims(of_task, SETTINGS, Inputs(evaluations=[file])).claims
    numbers = [claim.number for claim in claims]
    assert 9 in numbers
    assert 8 not in numbers


def test_a_difference_has_one_interval_wherever_it_is_shown(
    context: Context, files: Inputs
) -> None:
    """In the table, in the figure, and in the claims where it is the only comparison."""
    context = context.model_copy(update={"claims": SETTINGS})
    given = files.required(Regularisers.inputs, "table")
    table = regularisers.gather(context, Regularisers(), **given).set_index("model")
    drawing = regulariser_gains.gather(
        context, RegulariserGains(), **files.required(RegulariserGains.inputs, "figure")
    )
    shown = drawing.frame.set_index("model")
    for model in (DROPOUT, STRONG, DECAY):
        for name in ("low", "high"):
            assert table.loc[model, f"gain_{name}"] == shown.loc[model, name]
    one = context.model_copy(update={"models": (NONE, DROPOUT, STRONG)})
    claims = {claim.number: claim for claim in examine_claims(one, SETTINGS, files).claims}
    (rival,), gain = claims[8].parts, claims[2].parts[0]
    assert (rival.low, rival.high) == (
        table.loc[STRONG, "over_dropout_low"],
        table.loc[STRONG, "over_dropout_high"],
    )
    assert (gain.low, gain.high) == (
        table.loc[DROPOUT, "gain_low"],
        table.loc[DROPOUT, "gain_high"],
    )


def test_a_table_printed_again_is_the_same(context: Context, files: Inputs, tmp_path: Path) -> None:
    make_table("regularisers", context, Regularisers(), files, tmp_path / "made")
    print_again("regularisers", tmp_path / "made.csv", context, Regularisers(), tmp_path / "again")
    assert (tmp_path / "again.md").read_text() == (tmp_path / "made.md").read_text()


def test_claim_is_left_out_where_the_study_has_no_other_regulariser(
    context: Context, files: Inputs
) -> None:
    paper = context.model_copy(update={"models": (NONE, DROPOUT)})
    assert 8 not in [claim.number for claim in examine_claims(paper, SETTINGS, files).claims]


@pytest.mark.parametrize(
    ("models", "logs", "says"),
    [
        ((NONE, DROPOUT, STRONG), False, f"the training logs of {STRONG}"),
        (
            (NONE, STRONG),
            True,
            f"dropout beside {STRONG}: srresnet/multi/{{none,last_conv-channel-p0.7",
        ),
    ],
)
def test_claim_says_what_it_lacks(
    context: Context, files: Inputs, models: tuple[str, ...], logs: bool, says: str
) -> None:
    given = Inputs(evaluations=files.evaluations, logs=files.logs if logs else ())
    some = context.model_copy(update={"models": models})
    (claim,) = [c for c in examine_claims(some, SETTINGS, given).claims if c.number == 8]
    assert (claim.verdict, claim.parts) == ("not tested", ())
    assert claim.missing[0].startswith(says)


def test_claims_about_dropout_leave_other_regularisers_out(context: Context, files: Inputs) -> None:
    claims = examine_claims(context, SETTINGS, files).claims
    compared = [
        pair for claim in claims if claim.number < 8 for p in claim.parts for pair in p.compared
    ]
    assert compared
    assert not [pair for pair in compared if "mixup" in pair or "decay" in pair]


def test_one_part_may_bear_a_claim_out(context: Context, files: Inputs) -> None:
    (claim,) = [c for c in examine_claims(context, SETTINGS, files).claims if c.number == 8]
    good, bad = claim.parts
    open_one = bad.model_copy(update={"verdict": "inconclusive"})
    assert combine([good, bad], "one") == "supported"
    assert combine([bad, bad], "one") == "not supported"
    assert combine([bad, open_one], "one") == "inconclusive"
    assert combine([good, bad]) == "not supported"
    assert combine([], "one") == "not tested"


def test_grid_names_other_regularisers(context: Context, files: Inputs) -> None:
    frame = grid(context, DropoutGrid(), files.evaluations)
    rows = frame.drop_duplicates("model").set_index("model")
    assert (rows.loc[STRONG, "where"], rows.loc[STRONG, "p"]) == ("mixup", "1")
    assert rows.index[0] == NONE
