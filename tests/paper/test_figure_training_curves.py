"""Lines are means over seeds, bands one standard deviation."""

from __future__ import annotations

import statistics

import pandas as pd
import pytest

from reflash.core.errors import ReflashError
from reflash.paper.figures.style import rc
from reflash.paper.figures.training_curves import draw, gather
from reflash.study.artefacts import FigureStyle, TrainingCurves

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
STYLE = FigureStyle()
STEPS = (100, 200, 300)
PSNR = {
    f"{PLAIN}/seed0": (20.0, 22.0, 23.0),
    f"{PLAIN}/seed1": (20.4, 22.2, 23.6),
    f"{DROPPED}/seed0": (19.0, 22.5, 24.0),
    f"{DROPPED}/seed1": (19.2, 22.3, 24.4),
}


@pytest.fixture
def write_log(tmp_path):
    def write(run, psnr, steps=STEPS):
        path = tmp_path / f"{run}.csv".replace("/", "_")
        table = pd.DataFrame({"iteration": steps, "learning_rate": 1e-4, "loss": 0.1})
        table.insert(0, "run", run)
        table["psnr_clean"] = [p + 1 for p in psnr]
        table["psnr_blur_noise_jpeg"] = [p - 1 for p in psnr]
        table["psnr"] = psnr
        table.to_csv(path, index=False)
        return path

    return write


@pytest.fixture
def logs(write_log):
    return [write_log(run, psnr) for run, psnr in PSNR.items()]


def test_frame_has_mean_and_std_over_seeds(make_context, logs):
    drawing = gather(make_context(seeds=(0, 1)), TrainingCurves(), logs)
    pairs = list(zip(PSNR[f"{DROPPED}/seed0"], PSNR[f"{DROPPED}/seed1"], strict=True))
    for kind, offset in (("clean", 1), ("blur_noise_jpeg", -1)):
        of_kind = drawing.frame[drawing.frame["kind"] == kind]
        rows = of_kind[of_kind["model"] == DROPPED]
        assert list(rows["iteration"]) == list(STEPS)
        assert list(rows["psnr"]) == pytest.approx([offset + statistics.mean(p) for p in pairs])
        assert list(rows["std"]) == pytest.approx([statistics.stdev(p) for p in pairs])
        assert set(rows["seeds"]) == {2}


def test_a_fall_is_said_and_no_rise(make_context, write_log):
    logs = [
        write_log(f"{PLAIN}/seed0", (20.0, 22.0, 20.45)),
        write_log(f"{DROPPED}/seed0", (1, 2, 3)),
    ]
    caption = gather(make_context(), TrainingCurves(), logs).caption
    label = make_context().label(PLAIN)
    assert f"On clean images {label} 1.55 dB below the best at the end." in caption
    rising = [write_log(f"{PLAIN}/seed0", (20.0, 22.0, 21.95)), logs[1]]
    assert "below the best" not in gather(make_context(), TrainingCurves(), rising).caption


def test_lines_and_bands_are_the_frame(make_context, logs):
    drawing = gather(make_context(seeds=(0, 1)), TrainingCurves(), logs)
    with rc(STYLE):
        axes = draw(drawing, STYLE).axes[1]
    assert axes.get_title() == "blur+noise+jpeg"
    assert [line.get_label() for line in axes.lines] == [PLAIN, DROPPED]
    second = drawing.frame[drawing.frame["kind"] == "blur_noise_jpeg"]
    for line, band in zip(axes.lines, axes.collections, strict=True):
        rows = second[second["model"] == line.get_label()]
        assert list(line.get_xdata()) == list(rows["iteration"])
        assert list(line.get_ydata()) == list(rows["psnr"])
        corners = {tuple(v) for v in band.get_paths()[0].vertices.round(6)}
        for x, mean, std in zip(rows["iteration"], rows["psnr"], rows["std"], strict=True):
            assert (x, round(mean - std, 6)) in corners
            assert (x, round(mean + std, 6)) in corners


def test_one_seed_has_no_band(make_context, logs):
    drawing = gather(make_context(), TrainingCurves(), logs)
    assert drawing.frame["std"].isna().all()
    with rc(STYLE):
        axes = draw(drawing, STYLE).axes[0]
    assert not axes.collections
    assert list(axes.lines[0].get_ydata()) == [psnr + 1 for psnr in PSNR[f"{PLAIN}/seed0"]]


def test_axes_have_units(make_context, logs):
    with rc(STYLE):
        first, second = draw(gather(make_context(), TrainingCurves(), logs), STYLE).axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("Validation PSNR (dB)", "")
    assert first.get_xlabel() == second.get_xlabel() == "Iterations"


def test_caption_names_seeds_and_scale(make_context, logs):
    caption = gather(make_context(seeds=(0, 1)), TrainingCurves(), logs).caption
    assert "moving average of the weights" in caption
    assert "bands are one standard deviation" in caption
    assert "no evidence about the paper" in caption


def test_missing_run_is_named(make_context, logs):
    with pytest.raises(ReflashError, match=rf"run {DROPPED}/seed1: no log"):
        gather(make_context(seeds=(0, 1)), TrainingCurves(), logs[:3])


def test_empty_log_is_named(tmp_path, make_context):
    path = tmp_path / "log.csv"
    path.write_text("")
    with pytest.raises(ReflashError, match=r"log\.csv: cannot be read as CSV"):
        gather(make_context(), TrainingCurves(), [path])


def test_log_given_twice_is_named(make_context, logs):
    with pytest.raises(ReflashError, match="was given before"):
        gather(make_context(), TrainingCurves(), [logs[0], logs[0]])


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("psnr", (1.0, "abc", 3.0), "a psnr is no number"),
        ("psnr_clean", (1.0, float("nan"), 3.0), "a psnr is no number"),
        ("iteration", (100, 300, 200), "iteration does not rise"),
        ("iteration", (100, 200, 200), "iteration does not rise"),
    ],
)
def test_a_damaged_log_is_named(make_context, write_log, column, values, says):
    path = write_log(f"{PLAIN}/seed0", (1.0, 2.0, 3.0))
    table = pd.read_csv(path)
    table[column] = values
    table.to_csv(path, index=False)
    with pytest.raises(ReflashError, match=rf"csv: run {PLAIN}/seed0: {says}"):
        gather(make_context(models=(PLAIN,)), TrainingCurves(), [path])


def test_seeds_validated_at_other_iterations_are_named(make_context, write_log):
    logs = [
        write_log(f"{PLAIN}/seed0", (1.0, 2.0, 3.0)),
        write_log(f"{PLAIN}/seed1", (1.0, 2.0, 3.0), (100, 200, 400)),
    ]
    context = make_context(models=(PLAIN,), seeds=(0, 1))
    with pytest.raises(ReflashError, match=r"seed1\.csv: was validated at other iterations"):
        gather(context, TrainingCurves(), logs)
