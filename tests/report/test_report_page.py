"""The page opens with what was found, holds every artefact, and its archive works anywhere."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
from PIL import Image

from reflash.core.errors import ReflashError
from reflash.degradations.settings import KINDS
from reflash.paper.claims.model import ONE_RULE, Claim, Findings, Part, write_claims
from reflash.paper.figures.drawing import write_figure
from reflash.paper.figures.training_curves import gather as gather_curves
from reflash.paper.tables.registry import make_table
from reflash.report.claims import deciding_part
from reflash.report.comparison import main_comparison
from reflash.report.page import by_setting, write_report
from reflash.report.provenance import training_facts
from reflash.study.artefacts import Claims, FigureStyle, MultiDegradation, TrainingCurves
from reflash.study.context import Context
from reflash.study.inputs import Inputs
from reflash.training.record import require_record

PLAIN = "srresnet/multi/none"
DROPPED = "srresnet/multi/last_conv-channel-p0.7"
VALUES = {PLAIN: 25.0, DROPPED: 25.5}
VOID = {"meta", "img", "br", "hr", "link", "input", "wbr"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def context(**changes: object) -> Context:
    values: dict[str, object] = {
        "study": "paper",
        "title": "Dropout & <others>",
        "scale": "demo",
        "description": "tiny networks",
        "evidence": "none",
        "models": (PLAIN, DROPPED),
        "labels": {PLAIN: "SRResNet", DROPPED: "SRResNet + dropout", "bicubic": "Bicubic"},
        "test_sets": ("photos",),
    }
    return Context.model_validate(values | changes)


def make_results(folder: Path, about: Context) -> tuple[list[Path], list[Path], list[Path]]:
    """Make a table, a figure and two runs below ``folder``."""
    evaluations, logs, runs = [], [], []
    for model, value in VALUES.items():
        run = f"{model}/seed0"
        home = folder / "runs" / run
        home.mkdir(parents=True)
        rows = [
            {"run": run, "set": s, "kind": k, "image": "a", "psnr": value - i}
            for s in about.test_sets
            for i, k in enumerate(KINDS)
        ]
        pd.DataFrame(rows).to_csv(home / "evaluation.csv", index=False)
        log = pd.DataFrame({"run": run, "iteration": [1, 2], "psnr": [value - 1, value]})
        log.to_csv(home / "log.csv", index=False)
        settings = {
            "id": run,
            "network": {"name": "srresnet", "blocks": 4, "features": 24},
            "training": {"iterations": 12345, "batch": 8},
            "pairs": {"patch": 64},
        }
        record = {"run": run, "settings": settings, "iterations": 12345, "done": 12345}
        record |= dict.fromkeys(("recipe", "settings_key", "data", "code"), "x")
        record |= {"seconds": 62.0, "device": "cpu", "threads": 4, "runs_together": 1}
        record |= {"weights": {}, "versions": {"torch": "2.6"}, "processor": "Processor X"}
        record |= {"commit": "0123456789abcdef", "finished": "2026-11-28T12:00:00+00:00"}
        record["resumes"] = 0 if model == PLAIN else 3
        (home / "run.json").write_text(json.dumps(record))
        evaluations.append(home / "evaluation.csv")
        logs.append(home / "log.csv")
        runs.append(home)
    table = folder / "results" / "demo" / "multi_degradation"
    make_table("multi_degradation", about, MultiDegradation(), Inputs(evaluations), table)
    figure = folder / "figures 1" / "training_curves"
    write_figure(gather_curves(about, TrainingCurves(), logs), figure, FigureStyle(dpi=100))
    return [table], [figure], runs


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    return folder, make_results(folder, context())


@pytest.fixture
def inputs(demo, tmp_path):
    """Tables, figures and runs of the demo in a folder of one's own: (tables, figures, runs)."""
    source, groups = demo
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    return [[tmp_path / path.relative_to(source) for path in group] for group in groups]


@pytest.fixture
def made(tmp_path, inputs):
    out = tmp_path / "results" / "demo" / "index.html"
    write_report(out, context(), *inputs, "make reproduce SCALE=demo", {"x": "1.2"})
    return out


@pytest.fixture
def page(made):
    return Page(made.read_text(encoding="utf-8"))


def test_page_is_well_formed_and_titled(made, page):
    text = made.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert page.texts["title"] == ["Dropout & <others> · demo scale"]
    assert page.texts["h1"] == ["Dropout & <others>"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )


def test_page_is_one_file_that_loads_nothing(page):
    assert not page.all("script")
    assert not page.all("link")
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.all("img"))
    addresses = [a["href"] for a in page.all("a") if not a["href"].startswith(("#", "data:"))]
    assert addresses
    assert {urlsplit(address).scheme for address in addresses} == {"https"}


def test_ids_are_unique_and_anchors_lead_to_them(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    anchors = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert anchors
    assert set(anchors) <= set(ids)
    for _, attributes in page.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


def content(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


def test_files_of_tables_and_figures_are_inside(made, page):
    inside = {a["download"]: content(a["href"]) for a in page.all("a") if "download" in a}
    names = [f"multi_degradation.{s}" for s in ("csv", "tex", "md", "py")]
    assert set(inside) == {*names, *(f"training_curves.{s}" for s in ("csv", "pdf", "py"))}
    folders = (made.parent, made.parents[2] / "figures 1")
    for name, data in inside.items():
        if not name.endswith(".py"):
            (path,) = (folder / name for folder in folders if (folder / name).is_file())
            assert data == path.read_bytes()
    assert b"def gather(" in inside["training_curves.py"]


def test_archive_works_wherever_it_is_unpacked(made, inputs, tmp_path):
    archive = tmp_path / "report.zip"
    write_report(tmp_path / "page.html", context(), *inputs, archive=archive)
    first = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "else where")
    folder = tmp_path / "else where" / "report"
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    links = [a["href"] for a in page.all("a") if not a["href"].startswith(("#", "https:"))]
    files = {unquote(link) for link in (*links, *(image["src"] for image in page.all("img")))}
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files == found - {"index.html"}
    assert {"figures/training_curves.png", "tables/multi_degradation.tex"} < files
    write_report(tmp_path / "page.html", context(), *inputs, archive=archive)
    assert archive.read_bytes() == first


def test_figure_is_embedded_with_alt_text_and_caption(made, page):
    (image,) = page.all("img")
    png = made.parents[2] / "figures 1" / "training_curves.png"
    with Image.open(io.BytesIO(content(image["src"]))) as shown, Image.open(png) as drawn:
        assert shown.convert("RGB").tobytes() == drawn.convert("RGB").tobytes()
    assert len(content(image["src"])) < png.stat().st_size
    assert "Lines of validation PSNR" in image["alt"]
    assert int(image["width"]) == round(335 * 96 * 1.3 / 100)
    assert "Figure 1. Validation PSNR during training" in page.texts["h3"]
    assert "Demo scale: no evidence about the paper." in page.texts["figcaption"][0]


def test_tables_and_figures_are_numbered_indexed_and_say_what_makes_them(page):
    headings = [text for text in page.texts["h3"] if text.startswith(("Table", "Figure"))]
    assert headings == [
        "Table 1. PSNR, mean of the 8 degradations",
        "Figure 1. Validation PSNR during training",
        "Table 2. PSNR by degradation and test set",
        "Table 3. The paper's main comparison: PSNR (dB) on Set5",
    ]
    assert set(headings) <= set(page.texts["li"])
    assert "reflash figure training_curves --results results/demo" in page.texts["code"]
    assert "reflash table multi_degradation --results results/demo" in page.texts["code"]


def test_headline_shows_means_and_gains(page):
    rows = [text.split() for text in page.texts["tr"]]
    assert ["SRResNet", "+", "dropout", "22.00", "+0.50"] in rows
    assert ["SRResNet", "21.50"] in rows


def test_code_is_linked_at_the_commit_where_the_repository_is_known(inputs, tmp_path, monkeypatch):
    monkeypatch.setattr("reflash.report.page.source_remote", lambda: "https://example.org/a/b")
    monkeypatch.setattr("reflash.report.page.source_commit", lambda: "0123456789abcdef+dirty")
    out = tmp_path / "index.html"
    write_report(out, context(), *inputs)
    page = Page(out.read_text(encoding="utf-8"))
    links = {a["href"] for a in page.all("a")}
    source = "https://example.org/a/b/{}/0123456789abcdef"
    figure = "/src/reflash/paper/figures/training_curves.py"
    assert {source.format("tree"), source.format("blob") + figure} < links
    assert "0123456789+changes" in page.texts["code"]


def test_paper_and_its_code_are_linked(page):
    links = {a["href"] for a in page.all("a")}
    assert {"https://arxiv.org/abs/2112.12089", "https://github.com/XPixelGroup/RDSR"} < links


def test_tables_have_headers_and_values(page):
    rows = " ".join(page.texts["tr"]).split()
    assert rows.count("25.50") == 1
    assert page.texts["strong"][2:4] == ["bold", "25.50"]
    assert "+0.50" in rows
    scopes = {a.get("scope") for a in page.all("th")}
    assert scopes == {"col", "colgroup", "row", "rowgroup"}
    regions = [a for a in page.all("div") if a.get("class") == "wide"]
    assert len(regions) == len(page.all("table")) == 4
    assert all(a["tabindex"] == "0" for a in regions)


def test_banner_warns_where_there_is_no_evidence(page):
    text = " ".join(page.texts["header"])
    assert "Demo scale: no evidence about the paper." in text


def test_runs_are_listed_with_settings_time_and_device(page):
    (row,) = [t.split("\n") for t in page.texts["tr"] if f"{DROPPED}/seed0" in t]
    cells = [cell for cell in row if cell]
    assert cells == [
        f"{DROPPED}/seed0",
        "srresnet, 4 blocks, 24 features",
        "12,345",
        "8 × 64 px",
        "1 min 2 s",
        "3",
        "cpu",
        "2026-11-28",
        "0123456789",
    ]


def test_hours_machines_commits_and_interruptions_are_summed_up(page):
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert facts["Training"] == "2 runs, 2 min 4 s in all, the longest 1 min 2 s"
    assert facts["Interruptions"].startswith("1 run resumed, 3 times in all;")
    assert facts["Trained on"] == "Processor X, 4 threads (2 runs); torch 2.6"
    assert facts["Trained with"].split() == ["commit", "0123456789", "(2", "runs)"]


def test_runs_without_interruption_say_so(tmp_path, inputs):
    assert training_facts([require_record(inputs[2][0])])["resumed"] == "no run was interrupted"


def test_command_and_versions(page):
    assert page.texts["pre"] == ["make reproduce SCALE=demo"]
    assert "x 1.2" in page.texts["dd"]


def test_paper_is_not_compared_with_other_images(page):
    text = " ".join(page.texts["main"])
    assert "24.89" in text
    assert "digitised; test set inferred" in text
    assert "not comparable with these values" in text
    assert "22.438 dB for RRDB + dropout on Set14, restated by SEAL (ICLR 2024)" in text


def test_page_with_evidence_compares_and_does_not_warn(tmp_path):
    about = context(evidence="paper", scale="paper", test_sets=("Set5",))
    out = tmp_path / "index.html"
    write_report(out, about, *make_results(tmp_path, about))
    page = Page(out.read_text(encoding="utf-8"))
    text = " ".join(page.texts["main"])
    assert "no evidence about the paper" not in text
    rows = [t.split() for t in page.texts["tr"]]
    row = [row for row in rows if row[:2] == ["SRResNet", "24.89"]][-1]
    assert row[1:7] == ["24.89", "25.00", "+0.11", "24.76", "24.00", "−0.76"]
    assert "Python" in text


def test_banner_says_how_much_of_the_training_was_done(tmp_path):
    about = context(evidence="fraction", fraction="the paper's SRResNet, 4 % of its training")
    out = tmp_path / "index.html"
    write_report(out, about, *make_results(tmp_path, about))
    text = " ".join(Page(out.read_text(encoding="utf-8")).texts["body"])
    assert "Partial evidence: the paper's SRResNet, 4 % of its training." in text
    assert "no evidence about the paper" not in text
    assert "pipeline runs from end to end" not in text


def findings(**changes: object) -> Findings:
    part = Part(
        name="gain & more",
        effect=-0.512,
        low=-0.6,
        high=-0.4,
        unit="dB",
        digits=2,
        method="paired bootstrap over 24 images",
        compared=(f"{DROPPED} - {PLAIN}",),
        rule="supported if above 0",
        verdict="not supported",
        paper=0.53,
        paper_evidence="digitised",
    )
    one = Claim(
        number=1,
        title="Dropout helps",
        statement="What was tested.",
        paper="What the paper says.",
        evidence="claim: restated",
        parts=(part,),
        missing=(),
        rule="all parts",
        verdict="not supported",
    )
    other = one.model_copy(
        update={"number": 2, "parts": (), "missing": ("runs a", "runs b"), "verdict": "not tested"}
    )
    values: dict[str, object] = {
        "study": "paper",
        "scale": "demo",
        "evidence": "none",
        "warning": "Demo scale: no evidence about the paper.",
        "seeds": (0,),
        "confidence": 0.95,
        "resamples": 10000,
        "claims": (one, other),
    }
    return Findings.model_validate(values | changes)


@pytest.fixture
def page_with_claims(tmp_path, inputs):
    tables, figures, runs = inputs
    path = tmp_path / "results" / "demo" / "claims.json"
    write_claims(path, findings())
    make_table("claims", context(), Claims(), Inputs(claims=path), path.with_name("claims_table"))
    out = tmp_path / "results" / "demo" / "index.html"
    stems = [*tables, path.with_name("claims_table")]
    write_report(out, context(), stems, figures, runs, claims=path)
    return out, Page(out.read_text(encoding="utf-8"))


def test_claims_have_a_section_with_verdict_effect_interval_and_rule(page_with_claims):
    _, page = page_with_claims
    assert "The paper’s claims in full" in page.texts["h2"]
    assert [text for text in page.texts["h3"] if text[0].isdigit()] == [
        "1. Dropout helps",
        "2. Dropout helps",
    ]
    verdicts = [t for t in page.texts["p"] if "supported" in t or t == "not tested"]
    assert verdicts[0] == "not supported (demo scale: no evidence about the paper)"
    row = [t.split("\n") for t in page.texts["tr"] if "gain & more" in t][-1]
    cells = [cell.strip() for cell in row if cell.strip()]
    assert cells[:5] == ["gain & more", "−0.51 dB", "[−0.60, −0.40]", "not supported", "+0.53 dB"]
    assert "supported if above 0" in cells[5]
    assert "Paper: digitised." in cells[5]
    text = " ".join(page.texts["dl"])
    for part in ("What the paper says.", "claim: restated", "needs runs a", "needs runs b"):
        assert part in text
    assert "10,000 resamples of images (there is one seed)" in " ".join(page.texts["p"]).replace(
        "\n", " "
    )


def test_page_opens_with_the_claims_in_one_table(page_with_claims):
    _, page = page_with_claims
    assert page.texts["h2"][0] == "What was found"
    assert page.texts["h3"][0] == "Table 1. The paper’s claims"
    rows = [[cell for cell in text.split("\n") if cell.strip()] for text in page.texts["tr"]]
    assert rows[1] == [
        "1. Dropout helps",
        "not supported",
        "−0.51 dB",
        "[−0.60, −0.40]",
        "+0.53 dB",
        "gain & more",
    ]
    assert rows[2] == ["2. Dropout helps", "not tested", "–", "–", "–", "needs runs a"]
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert {"table-claims", "claims", "claim-1", "claim-2"} <= set(ids)
    downloads = {a["download"] for a in page.all("a") if "download" in a}
    assert {"claims.json", "claims_table.csv"} < downloads


def test_verdicts_have_no_colour_where_they_are_no_evidence(page_with_claims, tmp_path):
    _, page = page_with_claims
    chips = [a["class"] for a in page.all("span") if "verdict" in (a.get("class") or "")]
    assert chips == ["verdict no-evidence"] * 2
    assert "Verdicts are grey" in " ".join(page.texts["p"])
    write_claims(tmp_path / "claims.json", findings(warning="", evidence="paper"))
    write_report(tmp_path / "page.html", context(), [], [], claims=tmp_path / "claims.json")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    chips = [a["class"] for a in page.all("span") if "verdict" in (a.get("class") or "")]
    assert chips == ["verdict not-supported", "verdict not-tested"]
    assert "Verdicts are grey" not in " ".join(page.texts["p"])


def test_a_study_of_ones_own_opens_with_its_own_results(inputs, tmp_path):
    tables, figures, _ = inputs
    write_claims(tmp_path / "claims.json", findings(study="mine"))
    out = tmp_path / "page.html"
    write_report(out, context(study="mine"), tables, figures, claims=tmp_path / "claims.json")
    headings = Page(out.read_text(encoding="utf-8")).texts["h3"]
    assert headings[0] == "Table 1. PSNR, mean of the 8 degradations"
    assert headings[1] == "Table 2. The paper’s claims"


def test_the_part_that_decides_a_claim_has_its_verdict():
    part = findings().claims[0].parts[0]
    other = part.model_copy(update={"name": "other", "verdict": "supported"})
    claim = findings().claims[0].model_copy(update={"parts": (other, part)})
    assert deciding_part(claim) == part
    assert deciding_part(claim.model_copy(update={"verdict": "inconclusive"})) == other
    assert deciding_part(claim.model_copy(update={"parts": ()})) is None


def test_contents_of_a_study_without_figures_have_no_empty_list(tmp_path):
    write_report(tmp_path / "page.html", context(), [], [])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"<ul>\s*</ul>", text)


def test_where_one_part_is_enough_the_largest_decides():
    """Claim 8 is about any regulariser: its summary names the best."""
    part = findings().claims[0].parts[0]
    larger = part.model_copy(update={"name": "larger", "effect": part.effect + 1})
    claim = findings().claims[0].model_copy(update={"parts": (part, larger)})
    assert deciding_part(claim) == part
    assert deciding_part(claim.model_copy(update={"rule": ONE_RULE})) == larger


def test_claims_with_evidence_have_no_warning(tmp_path):
    path = tmp_path / "claims.json"
    write_claims(path, findings(warning="", evidence="paper", seeds=(0, 1)))
    about = context(evidence="paper", scale="paper", test_sets=("Set5",))
    write_report(tmp_path / "index.html", about, [], [], claims=path)
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    text = " ".join(page.texts["main"])
    assert "no evidence" not in text
    assert "resamples of seeds and images" in text


def test_missing_claims_are_named(tmp_path):
    with pytest.raises(ReflashError, match=r"claims\.json: no such file"):
        write_report(tmp_path / "index.html", context(), [], [], claims=tmp_path / "claims.json")


def test_page_needs_neither_tables_nor_figures_nor_runs(tmp_path):
    out = tmp_path / "index.html"
    write_report(out, context(), [], [])
    page = Page(out.read_text(encoding="utf-8"))
    assert page.texts["h2"] == ["Contents", "The paper’s numbers", "How this was made"]
    anchors = [a["href"] for a in page.all("a") if a["href"].startswith("#")]
    assert anchors == ["#table-main_comparison", "#made"]


def test_same_input_gives_the_same_page(inputs, made):
    again = made.with_name("again.html")
    write_report(again, context(), *inputs, "make reproduce SCALE=demo", {"x": "1.2"})
    assert again.read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    "missing",
    [
        "results/demo/multi_degradation.json",
        "results/demo/multi_degradation.tex",
        "figures 1/training_curves.png",
        "figures 1/training_curves.pdf",
        f"runs/{PLAIN}/seed0/run.json",
    ],
)
def test_missing_file_is_named_and_no_page_is_written(tmp_path, inputs, missing):
    (tmp_path / missing).unlink()
    out = tmp_path / "index.html"
    with pytest.raises(ReflashError, match=re.escape(missing)):
        write_report(out, context(), *inputs)
    assert not out.exists()


def test_broken_table_is_named(tmp_path):
    (tmp_path / "chi.json").write_text('{"name": "chi"}')
    with pytest.raises(ReflashError, match=r"chi\.json: not a table file"):
        write_report(tmp_path / "index.html", context(), [tmp_path / "chi"], [])


def test_comparison_shows_known_gains():
    layout = main_comparison(context(), None)
    rows = [[cell.text for cell in row.cells] for row in layout.rows]
    assert [row[0] for row in rows] == [
        "SRResNet",
        "SRResNet + dropout",
        "gain by dropout",
        "RRDB",
        "RRDB + dropout",
        "gain by dropout",
    ]
    assert rows[2][1:5] == ["+0.78", "+0.58", "+0.39", "+0.36"]
    assert rows[5][1:5] == ["+0.84", "+0.95", "+0.63", "+0.46"]
    assert rows[1][-1] == "digitised; p and test set inferred"


def test_another_metric_is_not_held_against_the_papers_psnr(tmp_path):
    about = context(test_sets=("Set5",))
    (table,), _, _ = make_results(tmp_path, about)
    csv = table.with_name("multi_degradation.csv")
    assert "ours" in {column.name for column in main_comparison(about, csv).columns}
    text = csv.read_text().replace(",psnr,", ",ssim,")
    csv.write_text(text)
    layout = main_comparison(about, csv)
    assert "ours" not in {column.name for column in layout.columns}
    assert "no table of the PSNR" in layout.caption


def test_models_are_counted_by_setting() -> None:
    names = ("srresnet/multi/none", "rrdb/multi/none", "srresnet/single/none")
    context = Context(
        study="s",
        title="t",
        scale="demo",
        description="d",
        evidence="none",
        test_sets=("photos",),
        models=names,
        labels={"srresnet/multi/none": "Plain"},
    )
    found = by_setting(context)
    assert found == {"multi": ["Plain", "rrdb/multi/none"], "single": ["srresnet/single/none"]}
