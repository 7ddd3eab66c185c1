"""What a study found, in a README."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from reflash.cli import main
from reflash.core.errors import ReflashError
from reflash.report.findings import findings_text, write_findings

RECORD = Path(__file__).parents[2] / "results/cpu/record"
PAGE = "# Mine\n\n<!-- findings -->\nold\n<!-- end -->\n\nThe rest.\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The committed results of record, to change."""
    shutil.copytree(RECORD / "tables", tmp_path / "results/tables")
    shutil.copy(RECORD / "claims.json", tmp_path / "results")
    return tmp_path / "results"


def rows(text: str, table: int) -> dict[str, list[str]]:
    """Return the cells of a Markdown table by its first column, without bold."""
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    cells = [
        [cell.strip(" *") for cell in line.split("|")[1:-1]] for line in tables[table].splitlines()
    ]
    return {first: others for first, *others in cells if not first.startswith("---")}


def test_models_of_one_label_and_few_kinds_stay_apart(results: Path) -> None:
    path = results / "tables/multi_degradation.csv"
    table = pd.read_csv(path)
    table = table[table["kind"].isin(["clean", "noise"])]
    clean_alone = (table["model"] == "bicubic") & (table["kind"] == "noise")
    table[~clean_alone].assign(label="A | B").to_csv(path, index=False)
    text = findings_text(results)
    assert "|  | clean | noise |" in text
    lines = [line for line in text.splitlines() if line.startswith("| A \\| B |")]
    assert len(lines) == 3
    assert lines[0].endswith("| 26.66 | -- |")


def test_values_are_those_of_the_first_set() -> None:
    shown = rows(findings_text(RECORD), 0)
    assert shown.pop("") == ["clean", "blur", "noise", "jpeg", "blur+noise+jpeg", "mean of 8"]
    table = pd.read_csv(RECORD / "tables/multi_degradation.csv").query("set == 'Set5'")
    dropped = "srresnet/multi/last_conv-channel-p0.7"
    for words, row, model, column, sign in (
        ("Bicubic", "model", "bicubic", "value", ""),
        ("SRResNet", "model", "srresnet/multi/none", "value", ""),
        ("SRResNet + dropout", "model", dropped, "value", ""),
        ("gain, SRResNet + dropout", "gain", dropped, "value", "+"),
        ("the paper's", "gain", dropped, "paper", "+"),
    ):
        of_row = table[(table["row"] == row) & (table["model"] == model)].set_index("kind")[column]
        values = of_row[["clean", "blur", "noise", "jpeg", "blur_noise_jpeg", "mean"]]
        found = [text.split(" ±")[0] for text in shown.pop(words)]
        assert found == [f"{value:{sign}.2f}" if value == value else "--" for value in values]
    assert not shown


def test_every_claim_is_there(results: Path) -> None:
    text = findings_text(results)
    shown = rows(text, 1)
    claims = json.loads((results / "claims.json").read_text())
    assert claims["warning"] in text
    for claim in claims["claims"]:
        name = f"{claim['number']}. {claim['title']}"
        if not claim["parts"]:
            assert f"{claim['number']} ({claim['title']})" in text.split("Not tested: ")[1]
            assert name not in shown
            continue
        verdict, decided_by, effect, *_ = shown[name]
        limit = " in the parts tested" if claim["missing"] else ""
        assert verdict == f"{claim['verdict']}{limit}"
        part = next(part for part in claim["parts"] if part["name"] == decided_by)
        assert float(effect.split()[0]) == pytest.approx(part["effect"], abs=0.05)
        if claim["verdict"] != "inconclusive":
            assert part["verdict"] == claim["verdict"]


def test_one_seed_and_several_are_told_apart(results: Path) -> None:
    path = results / "claims.json"
    claims = json.loads(path.read_text())
    for seeds, words in (
        ([4], "Intervals are over images alone, as there is one seed (4); features dropped"),
        ([0, 1, 2], "Intervals are over seeds (0, 1, 2) and images; features dropped"),
    ):
        path.write_text(json.dumps(claims | {"seeds": seeds}))
        assert words in findings_text(results)
        text = findings_text(results)
        assert "random choices instead of images; cost: standard errors." in text
        assert (
            "in parentheses the effect here on these, before them that on all test sets and kinds"
            in text
        )
    (first, *others), *rest = claims["claims"][0]["parts"], *claims["claims"][1:]
    first["method"] += ", widened for 2 comparisons"
    claims["claims"] = [claims["claims"][0] | {"parts": [first, *others]}, *rest]
    path.write_text(json.dumps(claims))
    assert "claim 8: widened so that all its comparisons hold together" in findings_text(results)
    table = pd.read_csv(results / "tables/multi_degradation.csv")
    table.assign(std=0.125, seeds=3).to_csv(results / "tables/multi_degradation.csv", index=False)
    text = findings_text(results)
    assert "PSNR (dB) on Set5, mean over 3 seeds ± one standard deviation." in text
    assert all("± 0.12" in cell for cell in rows(text, 0)["SRResNet"])


def test_the_papers_values_are_explained_where_they_are_shown(results: Path) -> None:
    path = results / "tables/multi_degradation.csv"
    assert "The paper's: digitised" in findings_text(results)
    table = pd.read_csv(path)
    table[table["row"] == "model"].to_csv(path, index=False)
    assert "paper's:" not in findings_text(results).split("\n")[0]


def test_other_metrics_keep_their_name_and_digits(results: Path) -> None:
    path = results / "tables/multi_degradation.csv"
    table = pd.read_csv(path)
    scaled = table["value"] / 100
    table.assign(metric="ssim", value=scaled, paper=None).to_csv(path, index=False)
    text = findings_text(results)
    assert text.startswith("SSIM on Set5, mean over 3 seeds")
    assert rows(text, 0)["Bicubic"][0] == "0.2666"


def test_the_rest_of_the_page_stays(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(SystemExit) as ended:
        main(["findings", str(page), "--results", str(results)])
    assert ended.value.code == 0
    before, after = page.read_text().split(findings_text(results))
    assert before == "# Mine\n\n<!-- findings -->\n"
    assert after == "\n<!-- end -->\n\nThe rest.\n"


def test_what_is_wrong_is_said_and_the_page_kept(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(ReflashError, match="names no results; write <!-- findings FOLDER -->"):
        write_findings(page)
    page.write_text("# Mine\n")
    with pytest.raises(ReflashError, match=r"page.md: no part to fill; give it a line <!-- find"):
        write_findings(page, results)
    page.write_text(PAGE.replace("<!-- end -->", ""))
    with pytest.raises(ReflashError, match=r"page.md: 1 of its parts begin, .* and 0 end"):
        write_findings(page, results)
    page.write_text(PAGE)
    (results / "claims.json").rename(results / "aside.json")
    with pytest.raises(ReflashError, match=r"claims.json: no such file; regenerate it with"):
        write_findings(page, results)
    assert page.read_text() == PAGE
    page.write_bytes(b"\xff\xfe")
    with pytest.raises(ReflashError, match=r"page.md: cannot be read as text; save it in UTF-8"):
        write_findings(page, results)
    with pytest.raises(ReflashError, match=r"no.md: no such file; name a Markdown page"):
        write_findings(tmp_path / "no.md", RECORD)


def test_parts_name_their_results_and_claims(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    head = ("<!-- findings results -->", "<!-- findings results claims 2, 1 -->")
    page.write_text("".join(f"{line}\n<!-- end -->\n" for line in head))
    write_findings(page)
    text = page.read_text().removeprefix(f"{head[0]}\n")
    whole, _, some = text.partition(f"\n<!-- end -->\n{head[1]}\n")
    assert whole == findings_text(results)
    assert some == findings_text(results, "claims", [2, 1]) + "\n<!-- end -->\n"


def test_all_that_counts_for_some_claims(results: Path) -> None:
    text = findings_text(results, "claims", [5, 2])
    assert "PSNR (dB) on" not in text
    assert "Not tested" not in text
    claims = {c["number"]: c for c in json.loads((results / "claims.json").read_text())["claims"]}
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    parts = [(n, part) for n in (5, 2) for part in claims[n]["parts"]]
    expected = [(n, part) for n, part in parts if part["verdict"] != "not judged"]
    assert len(parts) > len(lines) == len(expected) > 1
    for cells, (number, part) in zip(lines, expected, strict=True):
        assert cells[0].startswith(f"| {number}. ")
        assert cells[1] == f"**{part['verdict']}**"
        assert cells[2] == part["name"]
    text = findings_text(results, "claims", [2, 3])
    assert "Not tested: 3 (Channel-wise dropout is better than element-wise)." in text
    with pytest.raises(ReflashError, match="has no claim 12; name one of 1, 2"):
        findings_text(results, "claims", [12])


def test_scores_and_claims_are_both_or_either(results: Path) -> None:
    scores, claims = findings_text(results, "scores"), findings_text(results, "claims")
    assert findings_text(results) == f"{scores}\n\n{claims}"
    assert scores.startswith("PSNR (dB) on Set5")
    assert claims.startswith("| claim | verdict |")


def test_a_part_may_name_what_it_shows(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for words, part in (
        ("findings scores", "scores"),
        ("findings results claims", "claims"),
        ("findings results scores", "scores"),
    ):
        page.write_text(f"<!-- {words} -->\n<!-- end -->\n")
        write_findings(page, results)
        assert findings_text(results, part) in page.read_text()
