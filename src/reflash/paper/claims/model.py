"""The paper's claims as statistics over runs: effect, interval, verdict and the rule that gave it.

Each claim is a conjunction of parts; each part is one number, the mean of paired differences
between models, compared with 0 and with the smallest difference that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter

from reflash.core.errors import ReflashError
from reflash.core.files import require_file, write_json
from reflash.core.settings import Settings
from reflash.paper.tables.layout import EMPTY, interval_ends, number
from reflash.study.context import Evidence

Verdict = Literal["supported", "not supported", "inconclusive", "not tested", "not judged"]
"""Of a claim or a part. A claim without parts is not tested; a part without an interval, or one
that is reported beside the one that decides, is not judged."""

RULE = (
    "supported if every part that is judged is supported, not supported if one of them is not "
    "supported, inconclusive otherwise"
)
"""How the parts of a claim make its verdict."""

ONE_RULE = (
    "supported if a part that is judged is supported, not supported if all of them are not "
    "supported, inconclusive otherwise"
)
"""How the parts make the verdict on a claim that one of them may bear out."""

ONE_SEED = "one seed: "
"""Begins the ``method`` of a part whose interval covers no other trainings."""

OTHER_INTERVALS = {
    "random choices": "features dropped at test time: over random choices instead of images",
    "standard errors": "cost: standard errors",
    "widened for": "claim 8: widened so that all its comparisons hold together",
}
"""Which intervals are not the plain ones over seeds and images, by words of a ``method``."""


class Text(Settings):
    """One claim in words (see the head of ``texts.yaml``)."""

    title: str
    """A few words."""
    statement: str
    """What is tested."""
    paper: str
    """What the paper says."""
    evidence: str
    """How sure it is that the paper says so."""
    beyond: bool = False
    """Whether it goes beyond the paper: a study without models for it leaves it out."""
    rule: Literal["every", "one"] = "every"
    """Whether every part must be supported, or one."""
    parts: Mapping[str, str]
    """Names of the numbers."""
    needs: Mapping[str, str]
    """What is missing where a number cannot be made."""

    def part(self, key: str, **values: object) -> str:
        """Return the name of a number, with ``values`` filled in."""
        return self.parts[key].format(**values)

    def need(self, key: str, **values: object) -> str:
        """Return what is missing, with ``values`` filled in."""
        return self.needs[key].format(**values)


@cache
def claim_texts() -> dict[str, Text]:
    """Read the words of every claim, in order, by the name of the function that tests it."""
    text = Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, Text]).validate_python(yaml.safe_load(text))


class Part(Settings):
    """One statistic of a claim."""

    name: str
    """What is compared, as a short phrase."""
    effect: float
    """Its value; the claim says that it is large (or, for a cost, small)."""
    low: float | None
    """Lower end of the interval; null where there is none."""
    high: float | None
    """Upper end."""
    unit: str
    """Unit of the three; empty for numbers without one."""
    digits: int
    """Decimals that are worth printing."""
    method: str
    """What was resampled, or how else the interval was made."""
    compared: tuple[str, ...]
    """Runs that are compared, each ``model - model``."""
    rule: str
    """How the interval makes the verdict."""
    verdict: Verdict
    """What the interval says about this part."""
    paper: float | None = None
    """The paper's value in the same unit; null where none is known."""
    comparable: float | None = None
    """The effect here on the images and kinds that the paper's value is of; null without one."""
    comparable_low: float | None = None
    """Lower end of its interval; null where there is none."""
    comparable_high: float | None = None
    """Upper end."""
    paper_evidence: str = ""
    """What that value is of, and how sure it is."""


class Claim(Settings):
    """One claim of the paper."""

    number: int
    """Number of the claim, from 1."""
    title: str
    """The claim in a few words."""
    statement: str
    """What was tested."""
    paper: str
    """What the paper says."""
    evidence: str
    """How sure it is that the paper says so."""
    parts: tuple[Part, ...]
    """The statistics."""
    missing: tuple[str, ...]
    """What could not be tested and what it would take."""
    rule: str
    """How the parts make the verdict."""
    verdict: Verdict
    """Verdict on the parts that were tested."""


class Findings(Settings):
    """The claims of one study at one scale: the content of claims.json."""

    study: str
    """Name of the study."""
    scale: str
    """Name of the scale."""
    evidence: Evidence
    """What this scale says about the paper's claims."""
    warning: str
    """What every verdict is labelled with; empty at the paper's scale."""
    seeds: tuple[int, ...]
    """Seeds of every model."""
    confidence: float
    """Meant coverage of the intervals."""
    resamples: int
    """Bootstrap resamples behind each."""
    claims: tuple[Claim, ...]
    """The claims in order."""


def judge(
    low: float | None, high: float | None, support: float, reject: float, below: bool = False
) -> Verdict:
    """Say what an interval means.

    >>> judge(0.1, 0.3, support=0.0, reject=0.05)
    'supported'
    >>> judge(-0.1, 0.02, support=0.0, reject=0.05)  # whatever it is, it is too small to matter
    'not supported'

    Parameters
    ----------
    low, high
        Ends of the interval; None where there is none.
    support
        The effect is as claimed if the whole interval lies beyond this.
    reject
        It is not, or too small to matter, if the whole interval falls short of this, even where
        it lies beyond ``support``.
    below
        The claim is that the effect is small: beyond means below.
    """
    if low is None or high is None:
        return "not judged"
    if below:
        low, high, support, reject = -high, -low, -support, -reject
    if high < reject:
        return "not supported"
    return "supported" if low > support else "inconclusive"


def combine(parts: Sequence[Part], rule: Literal["every", "one"] = "every") -> Verdict:
    """Make the verdict on a claim from its parts (``RULE``, ``ONE_RULE``); none: not tested."""
    if not parts:
        return "not tested"
    verdicts = [part.verdict for part in parts if part.verdict != "not judged"]
    if rule == "one":
        if "supported" in verdicts:
            return "supported"
        return "not supported" if set(verdicts) == {"not supported"} else "inconclusive"
    if "not supported" in verdicts:
        return "not supported"
    return "supported" if verdicts and set(verdicts) == {"supported"} else "inconclusive"


def other_intervals(methods: Iterable[str]) -> list[str]:
    """Say which of the intervals made by these methods are not plain ones over seeds and images.

    Examples
    --------
    >>> other_intervals(["paired bootstrap over 100 images", "2.00 standard errors of 60 rounds"])
    ['cost: standard errors']
    """
    methods = list(methods)
    return [text for words, text in OTHER_INTERVALS.items() if any(words in m for m in methods)]


def seed_text(verdict: Verdict, parts: Iterable[Part]) -> str:
    """Return the verdict on parts, and that it is of one seed where it is.

    Their intervals hold no difference between trainings: another seed may be judged otherwise.
    """
    judged = [part for part in parts if part.verdict == verdict]
    settled = verdict in ("supported", "not supported")
    if settled and any(part.method.startswith(ONE_SEED) for part in judged):
        return f"{verdict} for one seed"
    return verdict


def verdict_text(claim: Claim, findings: Findings) -> str:
    """Return a claim's verdict as it is shown, with what limits it.

    Where there is one seed or parts could not be tested it says so, and below the paper's scale
    what the scale is worth.
    """
    text = seed_text(claim.verdict, claim.parts)
    if claim.verdict == "not tested":
        return text
    text += " in the parts tested" if claim.missing else ""
    warning = findings.warning.rstrip(".")
    return f"{text} ({warning[:1].lower()}{warning[1:]})" if warning else text


def effect_text(part: Part) -> str:
    """Return the effect of a part with its unit: ``+0.53 dB``."""
    return _with_unit(part, part.effect)


def paper_text(part: Part) -> str:
    """Return the paper's value of a part with the comparable one, or ``--`` where none is known.

    Such as ``+0.53 dB (here +0.16 dB [+0.07, +0.25])``.
    """
    if part.paper is None:
        return EMPTY
    text = _with_unit(part, part.paper)
    if part.comparable is None:
        return text
    ends = interval_ends(part.comparable_low, part.comparable_high, part.digits)
    return f"{text} (here {_with_unit(part, part.comparable)}{ends and f' {ends}'})"


def _with_unit(part: Part, value: float) -> str:
    return f"{number(value, digits=part.digits, sign=True)} {part.unit}".strip()


def interval_text(part: Part) -> str:
    """Return the interval of a part: ``[+0.42, +0.66]``, or ``--`` where there is none."""
    return interval_ends(part.low, part.high, part.digits) or EMPTY


def write_claims(path: Path | str, findings: Findings) -> None:
    """Write claims.json."""
    write_json(path, findings.model_dump(mode="json"))


def read_claims(path: Path | str) -> Findings:
    """Read claims.json.

    Raises
    ------
    ReflashError
        The file is missing or not one that ``write_claims`` wrote.
    """
    remedy = "regenerate it with reflash claims"
    path = require_file(path, remedy)
    try:
        return Findings.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReflashError(f"{path}: not a file of claims; {remedy}") from error
