"""The committed example figures are what the code draws from their committed CSVs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reflash.cli import main
from reflash.evaluation.shipped import WEIGHTS
from reflash.models.weights import load_weights
from reflash.paper.anatomy import BAND_METRICS, band_parts
from reflash.paper.claims.bootstrap import estimate
from reflash.paper.claims.model import read_claims
from reflash.paper.figures.drawing import redraw
from reflash.paper.repetition import compare_runs
from reflash.paper.tables.layout import number
from reflash.report.findings import write_findings
from reflash.study.artefacts import Claims
from reflash.study.checks import load_plan
from reflash.study.files import COST
from reflash.study.saved import save_config
from reflash.training.record import read_record

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "figures/cpu/record"
TABLES = ROOT / "results/cpu/record/tables"
PLAIN, DROPPED = "srresnet/multi/none", "srresnet/multi/last_conv-channel-p0.7"
SEEDS = (0, 1, 2)
FIGURES = sorted(EXAMPLES.glob("*.csv"))

TOLERANCE = 0.002
"""Share of pixels that may differ by more than 24 grey levels: font rendering, nothing else."""


def differing_share(first: Path, second: Path) -> float:
    with Image.open(first) as a, Image.open(second) as b:
        assert a.size == b.size, f"{first.name}: {a.size} became {b.size}"
        one, two = (np.asarray(image.convert("RGB")).astype(int) for image in (a, b))
    return float((np.abs(one - two).max(-1) > 24).mean())


def test_there_are_examples() -> None:
    assert {"teaser_bars", "training_curves", "dropout_placements"} <= {
        path.stem for path in FIGURES
    }


@pytest.mark.parametrize("csv", FIGURES, ids=lambda path: path.stem)
def test_a_drawing_change_is_seen(csv: Path, tmp_path: Path) -> None:
    redraw(csv, tmp_path / csv.stem)
    share = differing_share(csv.with_suffix(".png"), tmp_path / f"{csv.stem}.png")
    remedy = "if the change is meant, draw the examples again with reflash figure --from"
    assert share <= TOLERANCE, f"{csv.stem}: {share:.2%} of the pixels differ; {remedy}"


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    """Other numbers than the committed ones are seen."""
    csv = EXAMPLES / "teaser_bars.csv"
    for suffix in (".csv", ".json"):
        (tmp_path / f"teaser_bars{suffix}").write_bytes(csv.with_suffix(suffix).read_bytes())
    lines = (tmp_path / "teaser_bars.csv").read_text().splitlines()
    (tmp_path / "teaser_bars.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    redraw(tmp_path / "teaser_bars.csv", tmp_path / "teaser_bars")
    assert differing_share(csv.with_suffix(".png"), tmp_path / "teaser_bars.png") > TOLERANCE


@pytest.mark.parametrize("name", ["README.md", "docs/results.md"])
def test_the_findings_of_a_page_are_made_from_the_record(name: str, tmp_path: Path) -> None:
    page = tmp_path / name
    page.parent.mkdir(exist_ok=True)
    page.write_bytes((ROOT / name).read_bytes())
    for folder in ROOT.glob("results/*/record*"):
        shutil.copytree(folder, tmp_path / folder.relative_to(ROOT))
    write_findings(page)
    assert page.read_bytes() == (ROOT / name).read_bytes(), f"reflash findings {name}"
    assert f"reflash findings {name}" in (ROOT / "Makefile").read_text()


def words_of(name: str = "docs/results.md") -> str:
    """Return a page on one line."""
    return " ".join((ROOT / name).read_text().split())


def on_clean(scale: str, study: str) -> pd.Series:
    """Return a model's values on clean Set5, by model and measure."""
    table = pd.read_csv(ROOT / f"results/{scale}/{study}/tables/anatomy.csv")
    table = table.query("set == 'Set5' and kind == 'clean' and row == 'model'")
    return table.set_index(["model", "measure"])["value"]


def test_the_bands_that_the_page_names() -> None:
    table = pd.read_csv(TABLES / "anatomy.csv")
    low, high = (
        table.query(f"set == 'Set5' and kind == 'clean' and row == 'gain' and measure == '{band}'")
        for band in ("psnr_low", "psnr_high")
    )
    words = f"falls by {low['value'].item():.2f} dB, above 1/8 by {high['value'].item():.2f} dB"
    assert words in words_of()


def test_the_lead_of_bicubic_that_the_page_names() -> None:
    score = on_clean("cpu", "record")
    lead, left = (score["bicubic", m] - score[DROPPED, m] for m in ("psnr", "psnr_usm"))
    words = f"by {lead:.2f} dB of SRResNet + dropout ({left:.2f} dB against sharpened images)"
    assert words in words_of()
    score = on_clean("cpu_no_usm", "record_gain")
    lead = score["bicubic", "psnr"] - score[DROPPED, "psnr"]
    assert f"here it is {lead:.2f} dB ahead on clean Set5" in words_of()
    runs = ROOT / "results/cpu/record/runs"
    bands = {}
    for model in ("bicubic", *(f"{DROPPED}/seed{seed}" for seed in SEEDS)):
        rows = pd.read_csv(runs / model / "evaluation/Set5.csv").query("kind == 'clean'")
        bands[model] = rows.set_index("image").sort_index()[list(BAND_METRICS)].to_numpy()
    bicubic = bands.pop("bicubic")
    parts = np.mean([band_parts(bicubic, one).mean(0) for one in bands.values()], axis=0)
    share = parts[:2].sum() / parts.sum()
    assert f"{100 * share:.0f} % of that lies below 1/8 cycles per pixel" in words_of()


def test_what_is_left_without_channels_that_the_page_names() -> None:
    dropping = pd.read_csv(EXAMPLES / "feature_drop_sensitivity.csv").query(f"model == '{PLAIN}'")
    dropping = dropping.set_index("ratio")["value"]
    masking = pd.read_csv(EXAMPLES / "progressive_masking.csv").query(f"model == '{PLAIN}'")
    none_left = masking[masking["masked"] == masking["masked"].max()]["value"]
    score = on_clean("cpu", "record")[PLAIN, "psnr"]
    words = (
        f"the bilinear image, scores about {none_left.mean():.1f} dB, the network "
        f"{score:.2f} dB: PSNR rises while channels are dropped, to {dropping[0.9]:.2f} dB "
        "without 90 % of them"
    )
    assert words in words_of(), words


def test_the_summary_of_the_readme() -> None:
    claims = read_claims(ROOT / "results/cpu/record_rrdb/claims.json").claims
    small, large = next(c for c in claims if c.number == 2).parts[:2]
    assert [small.compared, large.compared] == [
        (f"{DROPPED} - {PLAIN}",),
        ("rrdb/multi/last_conv-channel-p0.5 - rrdb/multi/none",),
    ]
    assert [part.verdict for part in (small, large)] == ["supported", "not supported"]

    def ends(low: float | None, high: float | None) -> str:
        return f"{number(low, sign=True)} to {number(high, sign=True)}"

    here = [
        f"{p.comparable:+.2f} dB ({ends(p.comparable_low, p.comparable_high)})"
        for p in (small, large)
    ]
    words = (
        f"SRResNet gains as the paper says, if less so far: {small.effect:+.2f} dB (95 % interval "
        f"{ends(small.low, small.high)}) over three test sets and eight degradations. The shallow "
        f"RRDB does not: {large.effect:+.2f} dB ({ends(large.low, large.high)}). On the paper's "
        f"bars alone (five images; clean, blur, noise, jpeg) the means are higher, neither surely: "
        f"{here[0]} and {here[1]}, the paper's {small.paper:+.2f} and {large.paper:+.2f}."
    )
    assert words in words_of("README.md"), words
    for part in (small, large):
        assert part.comparable_low < 0 < part.comparable_high  # type: ignore[operator]


def psnr_by_kind(folder: str, model: str, seeds: Iterable[int] = SEEDS) -> pd.Series:
    """Return the mean PSNR of all images by degradation."""
    runs = ROOT / f"results/cpu/{folder}/runs" / model
    files = [file for seed in seeds for file in runs.glob(f"seed{seed}/evaluation/*.csv")]
    return pd.concat(map(pd.read_csv, files)).groupby("kind")["psnr"].mean()


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_what_rrdb_gains_and_loses(page: str) -> None:
    models = "rrdb/multi/last_conv-channel-p0.5", "rrdb/multi/none"
    with_dropout, without = (psnr_by_kind("record_rrdb", model) for model in models)
    change = with_dropout - without
    others = change.drop("clean")
    table = pd.read_csv(ROOT / "results/cpu/record_rrdb/tables/multi_degradation.csv")
    gain = table.query("row == 'gain' and set == 'Set5' and kind == 'clean'").set_index("model")
    words = (
        f"gains on the five images of Set5 (clean {gain.loc[models[0], 'value']:+.2f} dB), but not "
        f"over all 119: there dropout leaves clean images as they are "
        f"({number(change['clean'], sign=True)} dB) and changes the seven others by "
        f"{others.max():.2f} to {others.min():.2f} dB"
    )
    assert words in words_of(page), words


def test_the_gain_without_sharpening_that_the_readme_names() -> None:
    claims = read_claims(ROOT / "results/cpu_no_usm/record_gain/claims.json").claims
    part = next(c for c in claims if c.number == 2).parts[0]
    ends = " to ".join(number(end, sign=True) for end in (part.low, part.high))
    words = f"{part.effect:+.2f} dB ({ends}), near the gain with sharpening, but {part.verdict}"
    assert words in words_of("README.md"), words


def test_the_layers_of_claim_5_that_the_page_names() -> None:
    for folder in ("record", "record_rrdb"):
        table = pd.read_csv(ROOT / f"results/cpu/{folder}/tables/chi.csv")
        one = table.query("row == 'gain' and layer == 'body' and space == 'paired'").iloc[-1]
        words = f"({number(100 * one['value'], digits=1, sign=True)} %, [all layers]"
        assert words in words_of(), words


def last(runs: str, model: str, column: str) -> float:
    """Return the mean over seeds of what the logs of a model end with."""
    logs = sorted((ROOT / runs / model).glob("*/log.csv"))
    return float(np.mean([pd.read_csv(log)[column].iloc[-1] for log in logs]))


def test_the_published_index_that_the_page_names() -> None:
    parts = {}
    for study in ("record", "record_rrdb"):
        claims = read_claims(ROOT / f"results/cpu/{study}/claims.json").claims
        (claim,) = (c for c in claims if c.number == 5)
        parts[study] = [part for part in claim.parts if "paired" not in part.name]
    assert all(part.low is not None and part.low < 0 for part in parts["record"])
    plane, components = parts["record_rrdb"]
    assert plane.high is not None
    assert plane.high < 0
    assert components.low is not None
    assert components.high is not None
    assert components.low < 0 < components.high
    words = (
        f"is {1 - plane.effect / 100:.1f} times as high with dropout in the plane (t-SNE), and "
        f"{-components.effect:.0f} % higher on principal components"
    )
    assert words in words_of(), words


def test_the_probabilities_that_the_page_names() -> None:
    table = pd.read_csv(ROOT / "results/cpu/record_places/tables/multi_degradation.csv")
    table = table.query("set == 'BSD100' and row == 'gain' and kind == 'mean'").set_index("model")
    gain = [table.loc[f"srresnet/multi/last_conv-channel-p{p}", "value"] for p in (0.5, 0.7, 0.9)]
    words = f"the gain on BSD100 is {gain[0]:+.2f}, {gain[1]:+.2f} and {gain[2]:+.2f} dB"
    assert words in words_of(), words


def test_the_minutes_that_the_page_names() -> None:
    """Medians: some runs shared their processor."""

    def minutes(pattern: str) -> np.ndarray:
        records = (ROOT / "results/cpu").glob(f"{pattern}/*/seed*/run.json")
        return np.array([json.loads(path.read_text())["seconds"] / 60 for path in records])

    srresnet, rrdb = (
        np.median(minutes(f"{place}/multi"))
        for place in ("record/runs/srresnet", "record_rrdb/runs/rrdb")
    )
    words = f"some {srresnet:.0f} minutes (SRResNet) or {rrdb:.0f} (RRDB) of one core with bf16"
    assert words in words_of(), words


def test_the_single_setting_is_as_the_page_says() -> None:
    """Dropout costs less than matters on clean images, and gains with noise, in every set."""
    table = pd.read_csv(ROOT / "results/cpu/record_single/tables/multi_degradation.csv")
    gain = table[table["row"] == "gain"].pivot(index="set", columns="kind", values="value")
    assert (gain["clean"] > -0.05).all()
    words = f"gains {gain['noise'].min():.2f} to {gain['noise'].max():.2f} dB"
    assert f"which these networks were not trained on, it {words}" in words_of()


def test_the_regularisers_that_the_page_names() -> None:
    folder = ROOT / "results/cpu/record_regularisers"
    table = pd.read_csv(folder / "tables/regularisers.csv").set_index("kind")
    gain, index = table["gain"], table["chi"]
    dropout, cutblur, alignment, view = (
        "last-conv channel dropout",
        "cutblur",
        "feature alignment",
        "second view",
    )
    three = pd.read_csv(ROOT / "results/cpu/record_rivals/tables/regularisers.csv")
    assert set(three["seeds"]) == {3}
    seeds = three.set_index("kind")["chi"]
    chi = pd.read_csv(folder / "tables/chi.csv")
    chi = chi.query("row == 'model' and layer == 'body' and space == 'paired'")
    body = table["model"].map(chi.set_index("model")["value"])
    few = gain.drop(["none", dropout, cutblur, alignment, view])
    assert (few < gain[dropout]).all()
    assert len(few) == 7
    images = {
        kind: pd.concat(
            pd.read_csv(path)
            for path in (folder / "runs" / table.loc[kind, "model"]).glob("seed0/evaluation/*.csv")
        )
        for kind in ("none", cutblur, alignment, view)
    }
    of_images = {
        kind: rows.groupby(["set", "image"])["psnr"].mean() for kind, rows in images.items()
    }
    term = (of_images[alignment] - of_images[view]).to_numpy()[None]
    adds = estimate(term, Claims())
    scores = {kind: rows.groupby("kind")["psnr"].mean() for kind, rows in images.items()}
    of_cutblur, of_alignment = (scores[kind] - scores["none"] for kind in (cutblur, alignment))
    for words in (
        f"change PSNR by {number(few.min(), sign=True)} to {number(few.max(), sign=True)} dB, "
        f"dropout by {gain[dropout]:+.2f}",
        f"CutBlur ({gain[cutblur]:+.2f} dB) and feature alignment ({gain[alignment]:+.2f} dB)",
        f"CutBlur gains {of_cutblur['clean']:.2f} dB on clean images and "
        f"{of_cutblur['blur_noise_jpeg']:.2f} dB where blur, noise and JPEG come together",
        f"as test images have, and gains {of_alignment['noise']:.2f} dB on noise",
        f"without the alignment, gains {gain[view]:.2f} dB as well: in this form the alignment "
        f"adds {adds.effect:.2f} dB ({adds.low:+.2f} to {adds.high:+.2f})",
        f"dropout halves the paired index ({index['none']:.1f} without, {index[dropout]:.1f} with)",
        f"raise it ({index[cutblur]:.1f}, {index[alignment]:.1f} and {index[view]:.1f})",
        f"it is {seeds['none']:.1f} without, {seeds[dropout]:.1f} with dropout, "
        f"{seeds[cutblur]:.1f} with CutBlur and {seeds[alignment]:.1f} with feature alignment",
        f"dropout leaves it as it is ({body['none']:.1f} and {body[dropout]:.1f}), these three "
        f"lower it ({body[cutblur]:.1f}, {body[alignment]:.1f} and {body[view]:.1f};",
    ):
        assert words in words_of(), words


def test_the_tasks_that_the_page_names() -> None:
    claims = read_claims(ROOT / "results/cpu_tasks/record_tasks/claims.json").claims
    inside, outside = (
        [part.effect for part in next(c for c in claims if c.number == number).parts]
        for number in (9, 10)
    )
    shown = [number(effect, sign=True) for effect in inside]
    assert max(inside) < 0.05
    assert max(outside) < 0
    assert min(outside) == outside[0]
    assert (
        f"it changes PSNR by {shown[0]} dB (denoising), {shown[1]} (JPEG) and {shown[2]} dB "
        f"(deblurring); beyond them it loses everywhere, most in denoising ({outside[0]:.2f} dB)"
    ) in words_of()
    assert f"where denoising loses {-outside[0]:.2f} dB" in words_of("README.md")


def test_every_seed_of_the_record_has_its_log() -> None:
    """And every log ends above the same network without dropout."""
    runs = ROOT / "results/cpu/record/runs"
    assert load_plan({"scale": "cpu", "study": "record"}, ROOT / "config").scale.seeds == SEEDS
    for seed in SEEDS:
        ends = {}
        for model in (PLAIN, DROPPED):
            folder = runs / model / f"seed{seed}"
            record = read_record(folder)
            assert record is not None
            assert (record.run, record.done) == (f"{model}/seed{seed}", 6000)
            assert record.log == hashlib.sha256((folder / "log.csv").read_bytes()).hexdigest()
            ends[model] = pd.read_csv(folder / "log.csv")["psnr"].iloc[-1]
        assert ends[DROPPED] > ends[PLAIN]


def test_weights_of_the_record_are_those_of_its_runs() -> None:
    runs = ROOT / "results/cpu/record/runs"
    for model in (PLAIN, DROPPED):
        folder = runs / model / "seed0"
        record = read_record(folder)
        assert record is not None
        assert record.commit
        assert record.done == record.iterations == 6000
        _, about = load_weights(folder / "half.safetensors")
        assert (about["run"], about["data"]) == (record.run, record.data)
    assert WEIGHTS.read_bytes() == (folder / "half.safetensors").read_bytes()


def kept() -> list[Path]:
    """The results of record whose runs have their scores beside them."""
    found = ROOT.glob("results/*/record*/runs/**/evaluation")
    return sorted({ROOT.joinpath(*path.relative_to(ROOT).parts[:3]) for path in found})


@pytest.mark.parametrize("results", kept(), ids=lambda path: "/".join(path.parts[-2:]))
def test_claims_tables_and_figures_are_made_again_from_what_is_kept(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without training, weights or images."""
    scale, study = results.parts[-2:]
    plan = load_plan({"scale": scale, "study": study}, ROOT / "config")
    save_config(plan, tmp_path / plan.files.config)
    shutil.copytree(results / "runs", tmp_path / plan.files.runs)
    (tmp_path / COST).parent.mkdir(parents=True)
    shutil.copy(ROOT / COST, tmp_path / COST)
    monkeypatch.chdir(tmp_path)

    def make(*command: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main([*command, "--results", plan.files.results])
        assert ended.value.code == 0

    make("claims")
    made = [Path(plan.files.claims)]
    for table in plan.artefacts("tables"):
        make("table", table)
        made += [Path(f"{plan.files.table(table)}{end}") for end in (".csv", ".md", ".tex")]
    drawn = {"teaser_bars", "training_curves", "regulariser_gains"}
    for figure in sorted(drawn.intersection(plan.artefacts("figures"))):
        make("figure", figure)
        made.append(Path(f"{plan.files.figure(figure)}.csv"))
    for file in made:
        assert file.read_text() == (ROOT / file).read_text(), file


def test_a_run_made_again_on_another_machine_is_within_the_tolerance() -> None:
    """And the document says how far from its record it ended."""
    found = compare_runs(ROOT / "results/cpu/record/runs", ROOT / "results/cpu/record_fp32/runs")
    assert [one.run for one in found] == [f"{m}/seed{s}" for m in (DROPPED, PLAIN) for s in SEEDS]
    assert all(not one.recipe and abs(one.last) < 0.1 for one in found)
    ends = sorted(one.last for one in found)
    words = f"between {-ends[0]:.3f} dB lower and {ends[-1]:.3f} dB higher"
    assert words in words_of("docs/reruns.md")
    fp32, bf16 = (
        last(f"results/cpu/{runs}/runs", DROPPED, "psnr")
        - last(f"results/cpu/{runs}/runs", PLAIN, "psnr")
        for runs in ("record_fp32", "record")
    )
    words = f"dropout gains {fp32:.2f} dB in fp32 and {bf16:.2f} dB in bf16"
    assert words in words_of("docs/performance.md")
