"""What training a study would take on this machine, from a few measured iterations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reflash.core.errors import ReflashError
from reflash.models.names import network_of
from reflash.study.inputs import evaluation_files
from reflash.study.plan import Plan
from reflash.study.size import pool_bytes
from reflash.training.cost import Cost, measure_cost
from reflash.training.regulariser import open_regulariser

if TYPE_CHECKING:
    import torch


def estimate(
    plan: Plan, device: torch.device, iterations: int, hours_given: float | None = None
) -> Iterator[str]:
    """Measure every network of ``plan`` in every setting and yield the lines to show.

    Iterations that finished runs have behind them are counted too: it is the cost of the study
    from nothing. Evaluation, analyses and validation are not measured.

    Parameters
    ----------
    plan : Plan
    device : torch.device
    iterations : int
        As in ``reflash.training.cost.measure_cost``.
    hours_given : float, optional
        Say last, as a scale file, how many iterations a run may have for all to take so long.

    Raises
    ------
    ReflashError
        ``hours_given`` are too few for a single iteration of each run.
    """
    # What acts on the loss may run the network once more; other regularisers take next to nothing.
    alike: dict[str, list[str]] = {}
    for run in plan.trained_runs:
        alike.setdefault(_measured_as(plan, run), []).append(run)
    online = plan.scale.pairs.synthesis == "online"
    length, batch = plan.scale.training.iterations, plan.scale.training.batch
    total, pairs, making = 0.0, dict[str, float](), 0.0
    for name, runs in alike.items():
        settings = plan.run_settings(runs[0])
        cost = measure_cost(settings, device, iterations)
        step = cost.step + online * batch * cost.pair
        hours = len(runs) * length * step / 3600
        total += hours
        pairs[settings.setting] = cost.pair
        yield (
            f"{name}: {len(runs)} runs of {length:,} iterations, {step:.3g} s each"
            f"{_share(cost, batch) if online else ''}: {hours:,.1f} hours"
        )
    if not online:
        for setting, seconds in pairs.items():
            hours = plan.scale.pairs.count * seconds / 3600
            total, making = total + hours, making + hours
            yield f"pairs of {setting}: {plan.scale.pairs.count:,}, {hours:,.2f} hours"
    yield f"{len(plan.trained_runs)} runs, {total:,.1f} hours one after another on {_name(device)}"
    side_by_side = 1
    if device.type == "cpu":
        side_by_side = max(1, (os.cpu_count() or 1) // plan.scale.threads)
        yield f"{side_by_side} side by side: {total / side_by_side:,.1f} hours, or somewhat more"
    evaluations = len(evaluation_files(plan))
    yield f"jobs: {len(plan.trained_runs)} that train, {evaluations} that evaluate"
    if not online:
        gib = pool_bytes(plan) / 2**30
        yield f"disk: {gib:,.2f} GiB of pairs beside images, weights and results"
    yield "not measured: evaluation, analyses, validation, downloads"
    if hours_given is not None:
        if not plan.trained_runs:
            raise ReflashError(f"--hours {hours_given:g}: the study trains nothing; leave it out")
        fits = int(length * (hours_given * side_by_side - making) / (total - making))
        if fits < 1:
            raise ReflashError(
                f"--hours {hours_given:g}: too few for an iteration of each run; give more, or "
                "fewer models, seeds or pairs"
            )
        about = f"{plan.resolved.scale_name}, for {hours_given:g} hours of training"
        yield f"# {hours_given:g} hours hold {fits:,} iterations of each run; a scale with as many:"
        yield f"extends: {plan.resolved.scale_name}"
        yield f"description: {about}"
        yield f"training: {{iterations: {fits}}}"


def _measured_as(plan: Plan, run: str) -> str:
    """Return what a run's cost is measured as: network, setting and what acts on its loss."""
    settings = plan.run_settings(run)
    slow = [r.name for r in settings.regularisers if open_regulariser(r).acts_on == "loss"]
    return f"{network_of(run)}/{settings.setting}{' with ' if slow else ''}{', '.join(slow)}"


def _share(cost: Cost, batch: int) -> str:
    return f" ({batch * cost.pair / (cost.step + batch * cost.pair):.0%} of it for pairs)"


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return "a CPU"
