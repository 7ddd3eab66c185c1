"""Learning rates as pure functions of the iteration, so that resuming needs no scheduler state."""

from __future__ import annotations

import math

from reflash.training.settings import CosineRestarts, TrainingSettings


def learning_rate(iteration: int, settings: TrainingSettings) -> float:
    """Return Adam's learning rate for the optimiser step ``iteration`` (counted from 0).

    ``cosine_restarts`` follows the released training: period k starts where the lengths before it
    end, and its last point (cosine at pi) still belongs to it. With the released lengths
    [250k, 500k] and 500k iterations the rate falls to 0 at 250,000, jumps back to 2e-4 and is
    1.0e-4 at the end. After the last period the rate stays at ``eta_min``.
    """
    schedule, full = settings.schedule, settings.lr
    if isinstance(schedule, CosineRestarts):
        start = 0
        for length in schedule.periods:
            if iteration <= start + length:
                position = (iteration - start) / length
                break
            start += length
        else:
            position = 1.0
    else:
        position = min(1.0, iteration / max(1, settings.iterations - 1))
    return schedule.eta_min + 0.5 * (full - schedule.eta_min) * (1 + math.cos(math.pi * position))
