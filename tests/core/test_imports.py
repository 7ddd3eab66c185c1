"""Which files a stage depends on, found from the text of the modules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reflash.core.imports import ROOT, module_files


def names(*modules: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in module_files(*modules)}


def imported(module: str) -> set[str]:
    """Modules of the package that are loaded by really importing ``module``."""
    code = (
        f"import sys, {module}\n"
        "for n, m in list(sys.modules.items()):\n"
        "    if n.split('.')[0] == 'reflash': print(m.__file__)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return {str(Path(line).relative_to(ROOT)) for line in result.stdout.split()}


@pytest.mark.parametrize(
    "module",
    ["reflash.training.trainer", "reflash.evaluation.evaluate", "reflash.paper.tables.registry"],
)
def test_everything_python_imports_is_found(module: str) -> None:
    assert imported(module) <= names(module)


def test_imports_inside_functions_count() -> None:
    assert "evaluation/inference.py" in names("reflash.evaluation.upscalers")


def test_training_depends_on_nothing_of_evaluate_paper_or_report() -> None:
    files = names("reflash.training.trainer", "reflash.training.pairs")
    assert {"training/trainer.py", "models/srresnet.py", "degradations/benchmark.py"} <= files
    assert "evaluation/evaluate.py" not in files
    assert not {f for f in files if f.startswith(("paper/", "report/"))}
    assert not {"cli.py", "config.py", "study.py"} & files


@pytest.mark.parametrize("package", ["datasets", "degradations", "models"])
def test_dependencies_point_one_way(package: str) -> None:
    """The foundations know nothing of training and of the paper, nor of each other's work."""
    above = ("training/", "evaluation/", "interpretation/", "paper/", "report/")
    for path in (ROOT / package).glob("*.py"):
        files = names(f"reflash.{package}.{path.stem}".removesuffix(".__init__"))
        assert not {f for f in files if f.startswith(above)}, path.name
        assert not {f for f in files if f in ("cli.py", "config.py", "study.py")}, path.name


def test_data_files_that_a_module_names_count() -> None:
    assert "report/page.css" in names("reflash.report.page")
    assert "datasets/registry.yaml" in names("reflash.datasets.registry")
    assert "datasets/manifests/Set5.csv" in names("reflash.datasets.registry")
    assert "datasets/registry.yaml" not in names("reflash.training.trainer")


def test_no_stage_depends_on_what_the_package_offers_to_users() -> None:
    assert "models/dropout.py" not in names("reflash.datasets.leaks")


def test_an_unknown_module_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no module reflash\.nothing"):
        module_files("reflash.nothing")


def test_the_registry_is_no_source_of_a_rule_that_only_reads_images() -> None:
    """Another dataset in it must not prepare all images, and so train all networks, again."""
    every = module_files("reflash.datasets.sources")
    sources = module_files("reflash.datasets.sources", data=False)
    assert "registry.yaml" in {path.name for path in every}
    assert sources == [path for path in every if path.suffix == ".py"]
