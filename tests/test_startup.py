"""What commands import before they do anything."""

from __future__ import annotations

import subprocess
import sys


def test_help_formats_itself_without_rich() -> None:
    """Rich takes as long to import as all the rest of `reflash --help`."""
    code = (
        "import sys\nfrom reflash.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'rich', 'torch', 'numpy', 'yaml', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train" in done.stdout
    assert done.stdout.strip().endswith("[]")
