"""Every rule of the workflow is one command, and says what it does, takes and took."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

RULES = {
    name: text
    for path in sorted((Path(__file__).parents[1] / "workflow/rules").glob("*.smk"))
    for name, text in re.findall(r"(?ms)^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", path.read_text())
}


def test_rules_are_found() -> None:
    assert {"fetch_dataset", "train_network", "test_claims", "make_report"} <= set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_parts(name: str) -> None:
    keys = re.findall(r"(?m)^ +(\w+):$", RULES[name])
    for key in ("output", "log", "benchmark", "resources", "message", "shell"):
        assert keys.count(key) == 1
    assert not {"run", "script", "notebook"} & set(keys)
    assert re.search(r"\bmem_mb=\d+", RULES[name])
    assert re.search(r"\bruntime=\d+", RULES[name])


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_one_command_of_reflash(name: str) -> None:
    lines = RULES[name].split("shell:\n")[1]
    command = "".join(re.findall(r'(?m)^ +"(.*)"$', lines.split("\n\n")[0]))
    assert re.fullmatch(
        r"reflash [^|&;]+ > \{log\} 2>&1 \|\| \(tail -n 3 \{log\} >&2; exit 1\)", command
    )


def test_rules_that_use_a_network_connection_try_again() -> None:
    assert {name for name, text in RULES.items() if "retries:" in text} == {"fetch_dataset"}
