"""The finished project that the tests of the workflow share."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from project_copy import ROOT, Project, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which a study of every artefact was run at scale tiny, from an empty folder.

    The workers of one test run share it; nothing is changed in it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, done = shared / "finished", shared / "finished.done"
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            project = copy_project(ROOT, folder)
            project.snakemake()
            done.touch()
    return Project(folder)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change."""
    everything = tuple(path.name for path in finished.folder.iterdir())
    return copy_project(finished.folder, tmp_path / "project", everything)
