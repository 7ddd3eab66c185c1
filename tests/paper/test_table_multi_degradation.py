"""The main table: means, gains, marks and the paper's values where they belong."""

from __future__ import annotations

import json
import math
import statistics

import pandas as pd
import pytest

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.tables.multi_degradation import arrange, gather
from reflash.paper.tables.registry import make_table, print_again, table_module
from reflash.study.artefacts import Chi, MultiDegradation
from reflash.study.inputs import Inputs

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
SEEDS = (0, 1, 2)
BASE = {PLAIN: (24.0, 24.3, 23.9), DROPPED: (24.6, 24.5, 25.0)}


@pytest.fixture
def evaluations(write_evaluation):
    """Three seeds of two models and bicubic on two sets, two images 1 dB either side."""
    paths = [write_evaluation("bicubic", [25.0 - 1, 25.0 + 1], s) for s in ("photos", "Set5")]
    for model, values in BASE.items():
        for seed, value in zip(SEEDS, values, strict=True):
            for name in ("photos", "Set5"):
                run = f"{model}/seed{seed}"
                paths.append(write_evaluation(run, [value - 1, value + 1], name))
    return paths


def line(frame: pd.DataFrame, **keys: str) -> pd.Series:
    hit = frame
    for name, value in keys.items():
        hit = hit[hit[name] == value]
    assert len(hit) == 1
    return hit.iloc[0]


def test_means_stds_and_gains_over_seeds(make_context, evaluations):
    context = make_context(seeds=SEEDS)
    frame = gather(context, MultiDegradation(), evaluations)
    for index, kind in enumerate(KINDS):
        one = line(frame, model=DROPPED, row="model", kind=kind)
        values = [v - index for v in BASE[DROPPED]]
        assert one["value"] == pytest.approx(statistics.mean(values))
        assert one["std"] == pytest.approx(statistics.stdev(values))
        assert (one["seeds"], one["images"]) == (3, 2)
    differences = [b - a for a, b in zip(BASE[PLAIN], BASE[DROPPED], strict=True)]
    for kind in (*KINDS, "mean"):
        gain = line(frame, model=DROPPED, row="gain", kind=kind)
        assert gain["value"] == pytest.approx(statistics.mean(differences))
        assert gain["std"] == pytest.approx(statistics.stdev(differences))
        assert gain["against"] == PLAIN


def test_mean_column_is_the_mean_of_the_eight(make_context, evaluations):
    frame = gather(make_context(seeds=SEEDS), MultiDegradation(), evaluations)
    rows = frame[(frame["model"] == PLAIN) & (frame["row"] == "model")].set_index("kind")["value"]
    assert rows["mean"] == pytest.approx(sum(rows[kind] for kind in KINDS) / 8)


def test_best_and_second_of_every_column(make_context, evaluations):
    frame = gather(make_context(seeds=SEEDS), MultiDegradation(), evaluations)
    marks = frame[frame["row"] == "model"].groupby("model")["mark"].unique()
    assert {model: list(found) for model, found in marks.items()} == {
        "bicubic": ["best"],
        DROPPED: ["second"],
        PLAIN: [""],
    }
    assert set(frame.loc[frame["row"] == "gain", "mark"]) == {""}


def test_paper_only_beside_its_own_test_set(make_context, evaluations):
    context = make_context(seeds=SEEDS, test_sets=("photos", "Set5"))
    frame = gather(context, MultiDegradation(), evaluations)
    photos = frame[frame["set"] == "photos"]
    assert photos["paper"].isna().all()
    assert photos["delta"].isna().all()
    clean = line(frame, set="Set5", model=DROPPED, row="model", kind="clean")
    assert (clean["paper"], clean["paper_evidence"]) == (25.67, "digitised")
    assert clean["delta"] == pytest.approx(statistics.mean(BASE[DROPPED]) - 25.67)
    gain = line(frame, set="Set5", model=DROPPED, row="gain", kind="jpeg")
    assert gain["paper"] == pytest.approx(24.06 - 23.70)
    unknown = line(frame, set="Set5", model=DROPPED, row="model", kind="blur_jpeg")
    assert math.isnan(unknown["paper"])
    assert unknown["paper_evidence"] == "not found"


def test_layout_of_other_images_says_that_nothing_is_comparable(make_context, evaluations):
    context = make_context(seeds=SEEDS)
    layout = arrange(gather(context, MultiDegradation(), evaluations), context, MultiDegradation())
    assert [row.cells[0].text for row in layout.rows] == [
        "photos (2 images)",
        "Bicubic",
        "SRResNet",
        "SRResNet + dropout",
        "gain over SRResNet",
    ]
    assert [column.name for column in layout.columns][1:3] == ["clean", "blur"]
    assert "not shown beside other metrics or images" in layout.caption
    assert "from unrounded values" in layout.caption
    assert "reproduced exactly" not in layout.caption
    assert "Demo scale: no evidence about the paper." in layout.caption
    assert "Mean over 3 seeds (0, 1, 2)" in layout.caption
    assert "border of 4 pixels left out" in layout.caption


def test_layout_prints_mean_std_gain_and_paper(make_context, evaluations):
    context = make_context(seeds=SEEDS, test_sets=("Set5",), evidence="paper")
    layout = arrange(gather(context, MultiDegradation(), evaluations), context, MultiDegradation())
    rows = {}
    for row in layout.rows:
        rows.setdefault(row.cells[0].text, []).append([cell.text for cell in row.cells[1:]])
    ours, paper = rows["SRResNet + dropout"]
    assert ours[0] == "24.70 ± 0.26"
    assert paper[:2] == ["25.67 (-0.97)", "25.34 (-1.64)"]
    assert paper[4:] == ["--"] * 5
    gain, paper_gain = rows["gain over SRResNet"]
    assert gain[0] == "+0.63 ± 0.45"
    assert paper_gain[0] == "+0.78 (-0.15)"
    assert "digitised from the authors' bar chart" in layout.caption
    assert "no evidence" not in layout.caption


def test_another_metric_is_shown_with_its_own_decimals(make_context, evaluations):
    context = make_context(seeds=SEEDS, test_sets=("Set5",), evidence="paper")
    settings = MultiDegradation(metric="ssim")
    layout = arrange(gather(context, settings, evaluations), context, settings)
    rows = {row.cells[0].text: [cell.text for cell in row.cells[1:]] for row in layout.rows}
    assert layout.title == "SSIM by degradation and test set"
    assert rows["SRResNet + dropout"][0] == "0.2470 ± 0.0026"
    assert rows["gain over SRResNet"][0] == "+0.0063 ± 0.0045"
    assert layout.caption.startswith("SSIM on 8-bit RGB, border of 4 pixels left out")
    assert "Set5: the paper's values (in brackets: ours - paper's)" not in rows


def test_decimals_decide_what_is_printed_and_what_ties(make_context, evaluations):
    context = make_context(seeds=SEEDS)
    settings = MultiDegradation(decimals=0)
    layout = arrange(gather(context, settings, evaluations), context, settings)
    clean = {row.cells[0].text: row.cells[1] for row in layout.rows if row.kind == "model"}
    assert [(cell.text, cell.mark) for cell in clean.values()] == [
        ("25", "best"),
        ("24 ± 0", "second"),
        ("25 ± 0", "best"),
    ]
    gains = [row.cells[1].text for row in layout.rows if row.kind == "gain"]
    assert gains == ["+1 ± 0"]  # of 24.07 and 24.70; the printed values would give the same


def test_a_perfect_score_is_a_number_like_others_and_the_caption_counts_it(
    make_context, write_evaluation
):
    context = make_context()
    settings = MultiDegradation()
    paths = [
        write_evaluation(f"{PLAIN}/seed0", {kind: [30.0, 30.0] for kind in KINDS}),
        write_evaluation(f"{DROPPED}/seed0", {kind: [100.0, 30.0] for kind in KINDS}),
    ]
    frame = gather(context, settings, paths)
    layout = arrange(frame, context, settings)
    clean = {row.cells[0].text: row.cells[1].text for row in layout.rows if len(row.cells) > 1}
    assert clean == {
        "SRResNet": "30.00",
        "SRResNet + dropout": "65.00",
        "gain over SRResNet": "+35.00",
    }
    assert frame.groupby("model", sort=False)["perfect"].max().tolist() == [0, 8]
    assert (
        "8 images of all runs and degradations were reproduced exactly and count as 100 dB."
    ) in layout.caption


def test_no_gain_without_the_network_without_dropout(make_context, write_evaluation):
    context = make_context(models=(DROPPED,))
    paths = [write_evaluation(f"{DROPPED}/seed0", [25.0])]
    frame = gather(context, MultiDegradation(), paths)
    assert set(frame["row"]) == {"model"}
    assert len(frame) == 9


def test_made_files_agree_with_the_frame(tmp_path, make_context, evaluations):
    context = make_context(seeds=SEEDS)
    make_table(
        "multi_degradation",
        context,
        MultiDegradation(),
        Inputs(evaluations),
        tmp_path / "multi_degradation",
    )
    frame = gather(context, MultiDegradation(), evaluations)
    stored = pd.read_csv(tmp_path / "multi_degradation.csv")
    assert list(stored["value"]) == pytest.approx(list(frame["value"]), rel=1e-15)
    text = (tmp_path / "multi_degradation.tex").read_text()
    assert r"Bicubic & \textbf{25.00} & \textbf{24.00}" in text
    assert r"SRResNet + dropout & \underline{24.70 $\pm$ 0.26}" in text
    assert r"\textit{gain over SRResNet} & \textit{$+$0.63 $\pm$ 0.45}" in text
    assert "no evidence about the paper" in text
    assert "| Bicubic | **25.00** |" in (tmp_path / "multi_degradation.md").read_text()
    meta = json.loads((tmp_path / "multi_degradation.json").read_text())
    assert meta["name"] == "multi_degradation"
    assert "photos (2 images)" in json.dumps(meta)


def test_unknown_table_is_named():
    with pytest.raises(ReflashError, match="'multi': no such table; there are: multi_degradation"):
        table_module("multi")


def test_kinds_and_sets_choose_what_is_printed_not_what_the_csv_has(
    tmp_path, make_context, evaluations
):
    context = make_context(seeds=SEEDS, test_sets=("photos", "Set5"))
    settings = MultiDegradation(kinds=("mean", "noise"), sets=("Set5",))
    make_table("multi_degradation", context, settings, Inputs(evaluations), tmp_path / "m")
    frame = pd.read_csv(tmp_path / "m.csv")
    assert set(frame["set"]) == {"photos", "Set5"}
    assert set(frame["kind"]) == {*KINDS, "mean"}
    layout = arrange(gather(context, settings, evaluations), context, settings)
    assert [column.name for column in layout.columns] == ["model", "mean", "noise"]
    headings = [row.cells[0].text for row in layout.rows if row.kind == "section"]
    assert [heading.split(" ")[0] for heading in headings] == ["Set5", "Set5:"]
    with pytest.raises(ReflashError, match=r"multi_degradation\.sets: 'B100' is not a test"):
        arrange(frame, context, MultiDegradation(sets=("B100",)))


def test_a_short_caption_keeps_what_the_numbers_are_worth(tmp_path, make_context, evaluations):
    context, settings = make_context(seeds=SEEDS), MultiDegradation(caption="short")
    make_table("multi_degradation", context, settings, Inputs(evaluations), tmp_path / "m")
    meta = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert meta["caption"] == (
        "Gains are of unrounded values. Mean over 3 seeds (0, 1, 2); ± is one standard deviation "
        "(n - 1). Demo scale: no evidence about the paper."
    )


@pytest.mark.parametrize("seeds", [SEEDS, (0,)])
def test_printed_again_from_its_csv_it_is_the_same(tmp_path, make_context, evaluations, seeds):
    context, settings = make_context(seeds=seeds), MultiDegradation()
    make_table("multi_degradation", context, settings, Inputs(evaluations), tmp_path / "m")
    again = tmp_path / "again" / "m"
    print_again("multi_degradation", tmp_path / "m.csv", context, settings, again)
    assert sorted(path.name for path in again.parent.iterdir()) == ["m.json", "m.md", "m.tex"]
    for suffix in (".json", ".md", ".tex"):
        assert again.with_suffix(suffix).read_bytes() == (tmp_path / f"m{suffix}").read_bytes()


def test_printed_again_with_rows_taken_out_and_other_decimals(tmp_path, make_context, evaluations):
    context, settings = make_context(seeds=SEEDS), MultiDegradation()
    make_table("multi_degradation", context, settings, Inputs(evaluations), tmp_path / "m")
    frame = pd.read_csv(tmp_path / "m.csv")
    frame[frame["model"] != "bicubic"].to_csv(tmp_path / "fewer.csv", index=False)
    settings = MultiDegradation(decimals=0)
    print_again("multi_degradation", tmp_path / "fewer.csv", context, settings, tmp_path / "again")
    text = (tmp_path / "again.md").read_text(encoding="utf-8")
    assert "Bicubic" not in text
    assert "| SRResNet + dropout | **25 ± 0** |" in text  # best, now that bicubic is gone


def test_another_metric_is_not_in_the_csv(tmp_path, make_context, evaluations):
    context = make_context(seeds=SEEDS)
    make_table(
        "multi_degradation", context, MultiDegradation(), Inputs(evaluations), tmp_path / "m"
    )
    for settings, message in (
        (MultiDegradation(metric="ssim"), "shows no ssim; make a table of it without --from"),
        (Chi(), "not a CSV of table chi"),
    ):
        name = "chi" if isinstance(settings, Chi) else "multi_degradation"
        with pytest.raises(ReflashError, match=message):
            print_again(name, tmp_path / "m.csv", context, settings, tmp_path / "again")
    assert not (tmp_path / "again.json").exists()
