"""Puts what `reflash init` writes into the wheel; all else of the build is in pyproject.toml."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "src"))
from reflash.study.project import PARTS


class BuildWithProject(build_py):
    """Copies the files of a project beside the modules; an editable install has them anyway."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if self.editable_mode:
            return
        for part in PARTS:
            source, target = Path(part), Path(self.build_lib, "reflash/project", part)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithProject})
