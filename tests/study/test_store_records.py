"""What a remote's records may and may not name."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from reflash.core.errors import ReflashError
from reflash.study.store import RECORDS, _restore_provenance


@pytest.mark.parametrize("name", ["../../../escaped", "/tmp/escaped", "other"])
def test_a_record_lies_where_its_output_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not outside of Snakemake's records, whatever the provenance of a remote says."""
    monkeypatch.chdir(tmp_path)
    output = "data/tiny/test/photos/hr/manifest.csv"
    own = base64.urlsafe_b64encode(output.encode()).decode()
    folder = Path("results/tiny")
    folder.mkdir(parents=True)

    def restore(record_name: str) -> None:
        known = {"record_name": record_name, "record": {}, "mtime_ns": None}
        (folder / "provenance.json").write_text(json.dumps({"outputs": {output: known}}))
        _restore_provenance("tiny")

    with pytest.raises(ReflashError, match=f"{name} is no record of {output}; publish again"):
        restore(name)
    assert [path.name for path in RECORDS.rglob("*")] == []
    restore(own)
    assert (RECORDS / own).is_file()
