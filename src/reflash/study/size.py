"""How big a study is: its jobs, how many of them a cluster is sent, and the disk that they fill."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import torch

from reflash.datasets.registry import registry
from reflash.datasets.space import human
from reflash.models.build import build_network
from reflash.models.names import setting_of
from reflash.study.config import VALIDATION
from reflash.study.inputs import needed_files
from reflash.study.plan import Plan
from reflash.study.workflow import run_groups
from reflash.training.pool import pool_shapes

DECODED = 1.9
"""Bytes of decoded photographs over those of their PNG files (DIV2K)."""

_MADE_WITH = {
    "concentration": "saliency",
    "masking_area": "masking",
    "chi": "points",
    "paired": "points",
}
"""Analyses that the job of another makes."""


def study_jobs(plan: Plan) -> Counter[str]:
    """Count the jobs that make a study from nothing, by what they do.

    The count is that of the workflow; what they are called here is for people.
    """
    files, found = plan.files, set[tuple[str, str]]()
    logs = {files.training_log(run) for run in plan.trained_runs}
    same: dict[str, str] = {}
    for run in plan.all_runs:
        same |= {files.analysis(run, a): files.analysis(run, b) for a, b in _MADE_WITH.items()}
    for file in (same.get(file, file) for file in needed_files(plan)):
        if file in logs:
            found.add(("train", file))
        elif "/evaluation/" in file:
            found.add(("evaluate", file))
        elif "/analysis/" in file:
            found.add(("analyse", file))
        elif file.startswith(files.runs) and file.endswith("manifest.csv"):
            found.add(("upscale", file))
        elif file.startswith(files.data):
            found.add(("prepare images", file))
    made = [files.images(name) for name in plan.test_sets]
    if plan.trained_runs:
        made += [files.training_images, files.cache]
        if plan.may_leak:
            made += [files.leaks(name) for name in plan.test_sets] + [files.all_leaks]
    found |= {("prepare images", file) for file in made}
    found |= {("fetch", name) for name in datasets(plan)}
    shown = [*plan.artefacts("tables"), *plan.artefacts("figures"), "metrics", "report"]
    found |= {("tables, figures, report", name) for name in shown}
    if plan.claim_needs:
        found.add(("tables, figures, report", files.claims))
    return Counter(kind for kind, _ in found)


def submissions(plan: Plan) -> int:
    """Return how many jobs the Slurm profile submits for a study from nothing."""
    groups = {name for names in run_groups(plan).values() for name in names if name}
    return len(groups) + 2  # images; tables, figures and the report


def study_bytes(plan: Plan) -> dict[str, int]:
    """Return about how many bytes a study from nothing fills, by what fills them."""
    sets = [registry()[name] for name in datasets(plan)]
    images = sum(one.bytes or 0 for one in sets)
    decoded = sum(registry()[name].bytes or 0 for name in plan.training_datasets)
    weights = 0
    for network, runs in Counter(run.split("/")[0] for run in plan.trained_runs).items():
        with torch.device("meta"):
            built = build_network(plan.scale.networks[network])
        weights += runs * sum(one.numel() * one.element_size() for one in built.parameters())
    return {
        "datasets": images,
        "decoded training images": round(DECODED * decoded),
        "weights, raw and averaged": 2 * weights,
        "states of runs under way, all at once": 4 * weights,
        "pairs": pool_bytes(plan),
    }


def pool_bytes(plan: Plan) -> int:
    """Return how many bytes the pools of training pairs fill, one for each setting."""
    if plan.scale.pairs.synthesis != "pool":
        return 0
    count, patch = plan.scale.pairs.count, plan.scale.pairs.patch
    pools = [pool_shapes(count, patch, name) for name in set(map(setting_of, plan.trained_runs))]
    return sum(math.prod(shape) for pool in pools for shape in pool.values())


def describe_size(plan: Plan) -> Iterator[str]:
    """Yield the lines of ``reflash plan --cost`` on jobs and disk."""
    jobs, sizes = study_jobs(plan), study_bytes(plan)
    parts = ", ".join(f"{count:,} {kind}" for kind, count in jobs.most_common())
    yield f"jobs: {jobs.total():,} ({parts})"
    yield f"submitted to a cluster by the Slurm profile: {submissions(plan):,}"
    parts = ", ".join(f"{kind} {human(size)}" for kind, size in sizes.items() if size)
    yield f"disk: about {human(sum(sizes.values()))} ({parts}) beside results and SR images"


def datasets(plan: Plan) -> list[str]:
    """Return the named datasets that a study needs."""
    sets = [VALIDATION, *plan.test_sets] if plan.trained_runs else [*plan.test_sets]
    names = [name for one in sets for name in plan.dataset_of(one)]
    trained_on = plan.training_datasets if plan.trained_runs else []
    return list(dict.fromkeys([*names, *trained_on, *plan.real_dataset, *plan.seal_datasets]))
