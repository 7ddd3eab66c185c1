"""The logs of finished runs for TensorBoard, beside those of runs that are being trained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reflash.core.errors import ReflashError
from reflash.core.files import read_csv
from reflash.study.plan import Plan
from reflash.study.runs import RunState

EVENTS = "events.out.tfevents.*"
"""What TensorBoard's files are called."""


def write_events(
    plan: Plan, states: Iterable[RunState], folder: Path | str, root: Path | str = "."
) -> list[str]:
    """Write the log of each finished run to ``folder/RUN``, in place of what lies there of it.

    Parameters
    ----------
    plan : Plan
    states : iterable of RunState
        The runs; those that are not finished are left out.
    folder : path
    root : path
        The project's folder.

    Returns
    -------
    list of str
        The runs written.

    Raises
    ------
    ReflashError
        TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ReflashError(
            "--tensorboard: TensorBoard is not installed; pip install 'reflash[tensorboard]'"
        ) from error
    written = []
    for run in (one.run for one in states if one.state == "finished"):
        log = Path(root) / plan.files.training_log(run)
        if not log.is_file():
            continue
        table, place = read_csv(log), Path(folder) / run
        for old in place.glob(EVENTS):
            old.unlink()
        with SummaryWriter(str(place)) as writer:
            for row in table.drop(columns="run").to_dict("records"):
                step = int(row.pop("iteration"))
                for name, number in row.items():
                    writer.add_scalar(str(name), number, step)
        written.append(run)
    return written
