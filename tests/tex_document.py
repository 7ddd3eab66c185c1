"""Tables set by LaTeX, all in one document; a test that asks for it is skipped without LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

HEAD = r"""\documentclass{article}
\usepackage[a4paper,margin=2.5cm]{geometry}
\usepackage{booktabs,longtable,graphicx,rotating}
\begin{document}
"""


def set_tables(tables: Mapping[str, str], folder: Path) -> tuple[int, list[str]]:
    """Set tables by their names and return the pages and what LaTeX complains of."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("needs LaTeX (apt-get install texlive-latex-recommended)")
    body = []
    for number, (name, text) in enumerate(tables.items()):
        (folder / f"{name}.tex").write_text(text.replace(r"\label{", rf"\label{{{number}"))
        body.append(rf"\input{{{name}.tex}}\clearpage")
    (folder / "all.tex").write_text(HEAD + "\n".join(body) + "\n\\end{document}\n")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    for _ in range(2):  # a longtable knows its widths the second time
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            return 0, [line for line in done.stdout.splitlines() if line.startswith(("!", "l."))]
    complaints = re.findall(r"(?m)^(?:Overfull|LaTeX Warning|Package \w+ Warning).*", done.stdout)
    pages = re.search(r"all\.pdf \((\d+) pages?", done.stdout)
    return int(pages[1]) if pages else 0, complaints
