"""The recipes of image and Kubernetes Job, by the rules of hadolint and by the API's models."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def recipe(root: Path) -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: word and rest, lines joined."""
    lines = [x for x in (root / "Dockerfile").read_text().splitlines() if not x.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.split(None, 1)[1]) for line in joined.splitlines() if line]


def of(recipe: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in recipe if name == word]


def test_stages_are_of_tagged_images_or_of_each_other(recipe: list[tuple[str, str]]) -> None:
    known = {"torch-${DEVICE}"}
    for stage in of(recipe, "FROM"):
        image, *name = stage.split(" AS ")
        assert image in known or re.fullmatch(r"[a-z/]+:(?!latest)[\w.-]+", image)  # DL3006, DL3007
        known.update(name)
    assert {"torch-cuda", "torch-cpu"} <= known
    assert of(recipe, "ARG")[0] == "DEVICE=cuda"


def test_commands_are_portable_and_leave_nothing_behind(recipe: list[tuple[str, str]]) -> None:
    commands = of(recipe, "RUN")
    for command in commands:
        subprocess.run(["sh", "-n", "-c", command], check=True)
        assert not re.search(
            r"\bsudo\b|\bapt (?!-)|[^|]\|[^|]|\bcd\b", command
        )  # DL3004/27, DL4006
        if "apt-get install" in command:
            assert command.startswith("apt-get update")  # DL3009, DL3014, DL3015
            assert "-y --no-install-recommends" in command
            assert command.endswith("rm -rf /var/lib/apt/lists/*")
        if "pip install" in command:
            assert "-c /build/constraints.txt" in command  # DL3013
    words = [word for word, _ in recipe]
    assert ("RUN", "RUN") not in set(pairwise(words))  # DL3059
    assert "PIP_NO_CACHE_DIR=1" in " ".join(of(recipe, "ENV"))  # DL3042
    assert not {"ADD", "MAINTAINER"} & set(words)  # DL3020, DL4000


def test_the_last_stage_runs_as_a_user_and_gets_signals(recipe: list[tuple[str, str]]) -> None:
    last = recipe[max(n for n, (word, _) in enumerate(recipe) if word == "FROM") :]
    assert of(last, "USER") == ["reflash"]  # DL3002
    assert all(folder.startswith("/") for folder in of(last, "WORKDIR"))  # DL3000
    (command,) = of(last, "CMD")  # DL4003, DL3025
    assert json.loads(command)[-1].split(";")[-1].strip().startswith("exec snakemake")


def test_what_is_copied_is_there_and_all_that_the_package_is_built_from(root: Path) -> None:
    named = re.findall(r"^!(\S+)$", (root / ".dockerignore").read_text(), re.MULTILINE)
    assert all((root / name).exists() for name in named)
    manifest = re.findall(r"^(?:graft|include) (\S+)", (root / "MANIFEST.in").read_text(), re.M)
    for name in (*manifest, "pyproject.toml", "setup.py", "src"):
        assert any(name == one or name.startswith(f"{one}/") for one in named), name


@pytest.mark.slow
def test_the_steps_lead_to_a_training_without_network(root: Path, tmp_path: Path) -> None:
    if not shutil.which("debootstrap") or os.geteuid() != 0:
        pytest.skip("a clean Debian root needs root and apt-get install debootstrap")
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("root may not mount or leave the network here")
    index = os.environ.get("REFLASH_TORCH_INDEX")  # without it, what pip finds: mostly for GPUs
    options = ["--build-arg", f"TORCH_INDEX={index}"] if index else []
    debian = tmp_path / "debian"
    # What is mounted is mounted for this command alone: nothing of it is there to be removed below.
    command = ["unshare", "--mount", sys.executable, str(root / ".ci/container"), str(debian)]
    command += options
    done = subprocess.run(command, capture_output=True, text=True)
    trained = (debian / "study/results/tiny/runs/srresnet/multi/none/seed0/log.csv").is_file()
    shutil.rmtree(debian, ignore_errors=True)  # gigabytes
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert trained


def check(value: Any, kind: str, where: str) -> None:
    """Check a value by the models of the Kubernetes client: known keys, types, what is required."""
    models = pytest.importorskip("kubernetes.client.models", reason="pip install kubernetes")
    if found := re.fullmatch(r"(?i:list)\[(.+)\]", kind):
        assert isinstance(value, list), where
        for number, one in enumerate(value):
            check(one, found[1], f"{where}[{number}]")
    elif found := re.fullmatch(r"(?i:dict)[(\[]str, (.+)[)\]]", kind):
        for name, one in value.items():
            check(one, found[1], f"{where}.{name}")
    elif hasattr(models, kind):
        model = getattr(models, kind)
        names = {key: name for name, key in model.attribute_map.items()}
        assert set(value) <= set(names), f"{where}: {set(value) - set(names)}"
        for key, one in value.items():
            check(one, model.openapi_types[names[key]], f"{where}.{key}")
        model(**{names[key]: one for key, one in value.items()})  # raises where a key is missing
    elif kind != "object":
        types = {"str": (str, int), "int": int, "bool": bool, "float": float}
        assert isinstance(value, types[kind]), f"{where}: {value!r} is no {kind}"


def test_the_kubernetes_job_is_one(root: Path) -> None:
    claim, job = yaml.safe_load_all((root / "workflow/kubernetes/job.yaml").read_text())
    check(claim, "V1PersistentVolumeClaim", "claim")
    check(job, "V1Job", "job")
    with pytest.raises(AssertionError, match="restartpolicy"):
        check({"restartpolicy": "Never", "containers": []}, "V1PodSpec", "pod")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert int(container["resources"]["limits"]["nvidia.com/gpu"]) >= 1
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    claimed = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claimed == claim["metadata"]["name"]
    subprocess.run(["sh", "-n", "-c", container["args"][0]], check=True)
