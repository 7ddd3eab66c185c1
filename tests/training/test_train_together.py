"""Several runs on one stream of pairs: each ends as if it had been trained alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_trainer import Clock, _results
from toy_run import run_settings

from reflash.cli.app import main
from reflash.core.errors import ReflashError
from reflash.datasets.cache import ImageCache
from reflash.training.pairs import OnlinePairs
from reflash.training.record import read_record
from reflash.training.settings import RunSettings
from reflash.training.trainer import Interrupted, Options, Trainer, check_agreement, train
from reflash.training.validation import Validation

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")


def three_runs() -> list[RunSettings]:
    """Different dropout, network and length; the same pairs."""
    wide = {"name": "srresnet", "features": 12, "blocks": 1}
    short = {**run_settings().training.model_dump(mode="json"), "iterations": 8, "lr": 2e-3}
    return [
        run_settings(),
        run_settings(id="none", dropout="none", network=wide),
        run_settings(id="short", dropout="last_conv-element-p0.3", training=short),
    ]


def start(
    runs: list[RunSettings], cache: ImageCache, images: Path, out: Path, **options: object
) -> None:
    trainers = [
        Trainer(run, Validation(run.training.validation, images), out / name)
        for run, name in zip(runs, NAMES, strict=False)
    ]
    train(trainers, OnlinePairs(runs[0], cache, CPU), CPU, Options(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alone(
    cache: ImageCache, image_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, bytes]]:
    """Results of the three runs, each trained by itself."""
    results = []
    for run in three_runs():
        folder = tmp_path_factory.mktemp("alone")
        start([run], cache, image_folder, folder)
        results.append(_results(folder / "a"))
    return results


def results(folder: Path) -> list[dict[str, bytes]]:
    return [_results(folder / name) for name in NAMES]


def test_together_as_alone(
    cache: ImageCache, image_folder: Path, tmp_path: Path, alone: list[dict[str, bytes]]
) -> None:
    start(three_runs(), cache, image_folder, tmp_path)
    assert results(tmp_path) == alone
    assert read_record(tmp_path / "a").runs_together == 3
    assert not list(tmp_path.glob("*/state-*"))


def test_interrupted_as_often_as_may_be(
    cache: ImageCache, image_folder: Path, tmp_path: Path, alone: list[dict[str, bytes]]
) -> None:
    stops = 0
    while stops < 20:
        try:
            start(three_runs(), cache, image_folder, tmp_path, time_budget=3, clock=Clock())
            break
        except Interrupted:
            stops += 1
    assert 20 > stops >= 2
    assert results(tmp_path) == alone


def test_runs_that_are_at_different_iterations_meet(
    cache: ImageCache, image_folder: Path, tmp_path: Path, alone: list[dict[str, bytes]]
) -> None:
    """The first was trained for a while by itself, the second further, the third not at all."""
    first, second, third = three_runs()
    with pytest.raises(Interrupted):
        start([first], cache, image_folder, tmp_path, time_budget=3, clock=Clock())
    with pytest.raises(Interrupted):
        start([first, second], cache, image_folder, tmp_path, time_budget=4, clock=Clock())
    (tmp_path / "b").rename(tmp_path / "kept")
    with pytest.raises(Interrupted):
        start([first, second], cache, image_folder, tmp_path, time_budget=2, clock=Clock())
    start([first, second, third], cache, image_folder, tmp_path)
    assert results(tmp_path) == alone


def test_a_finished_run_is_not_done_again(
    cache: ImageCache,
    image_folder: Path,
    tmp_path: Path,
    alone: list[dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Interrupted, match="after iteration (9|10|11) of 12"):
        start(three_runs(), cache, image_folder, tmp_path, time_budget=10, clock=Clock())
    written = (tmp_path / "c/params.safetensors").stat().st_mtime_ns
    start(three_runs(), cache, image_folder, tmp_path)
    assert "short: already finished" in capsys.readouterr().err
    assert (tmp_path / "c/params.safetensors").stat().st_mtime_ns == written
    assert results(tmp_path) == alone


def test_the_others_end_when_one_fails(
    cache: ImageCache, image_folder: Path, tmp_path: Path, alone: list[dict[str, bytes]]
) -> None:
    first, second, third = three_runs()
    training = first.training.model_dump(mode="json") | {"lr": 1e38}
    runs = [run_settings(training=training), second, third]
    with pytest.raises(
        ReflashError, match="last_conv-channel-p0.5/seed0: iteration .: the loss is"
    ):
        start(runs, cache, image_folder, tmp_path)
    assert [_results(tmp_path / name) for name in NAMES[1:]] == alone[1:]
    assert not (tmp_path / "a/log.csv").exists()
    assert not list(tmp_path.glob("*/state-*"))
    start([first, second, third], cache, image_folder, tmp_path)
    assert results(tmp_path) == alone


def held(
    runs: list[RunSettings], cache: ImageCache, images: Path, out: Path, **options: object
) -> None:
    """Train the first run, and the others beside it for their own commands."""
    trainers = [
        Trainer(run, Validation(run.training.validation, images), out / name, held=number > 0)
        for number, (run, name) in enumerate(zip(runs, NAMES, strict=True))
    ]
    train(trainers, OnlinePairs(runs[0], cache, CPU), CPU, Options(**options))  # type: ignore[arg-type]


def test_runs_beside_another_wait_for_their_own_command(
    cache: ImageCache, image_folder: Path, tmp_path: Path, alone: list[dict[str, bytes]]
) -> None:
    """As in a workflow: old results stay until then, and `again` trains nothing twice."""
    runs = three_runs()
    start([run_settings(dropout="none")], cache, image_folder, tmp_path / "old")
    (tmp_path / "old/a").rename(tmp_path / "b")
    before = _results(tmp_path / "b")
    with pytest.raises(Interrupted):
        held(runs, cache, image_folder, tmp_path, time_budget=4, clock=Clock(), again=True)
    held(runs, cache, image_folder, tmp_path, again=True)
    assert _results(tmp_path / "a") == alone[0]
    assert _results(tmp_path / "b") == before
    assert not (tmp_path / "c/log.csv").exists()
    made = (tmp_path / "b/.new/log.csv").stat().st_mtime_ns
    for number in (1, 2):
        trainer = Trainer(
            runs[number],
            Validation(runs[number].training.validation, image_folder),
            tmp_path / NAMES[number],
        )
        train([trainer], OnlinePairs(runs[number], cache, CPU), CPU, Options(again=True))
    assert results(tmp_path) == alone
    assert (tmp_path / "b/log.csv").stat().st_mtime_ns == made
    assert not list(tmp_path.glob("*/.new"))


@pytest.mark.parametrize("killed", ["after the weights", "after the record", "before anything"])
def test_results_on_their_way_arrive_and_older_ones_do_not(
    cache: ImageCache,
    image_folder: Path,
    tmp_path: Path,
    killed: str,
    alone: list[dict[str, bytes]],
) -> None:
    """A kill while held results move, or while they are written over older ones."""
    runs = three_runs()
    held(runs, cache, image_folder, tmp_path)
    folder, new = tmp_path / "b", tmp_path / "b/.new"
    trainer = Trainer(runs[1], Validation(runs[1].training.validation, image_folder), folder)
    if killed == "before anything":  # what was held is of other settings
        record = json.loads((new / "run.json").read_text())
        (new / "run.json").write_text(json.dumps(record | {"recipe": "another"}))
        (new / "params.safetensors").write_bytes(b"of other settings")
    else:
        names = ["params.safetensors", "params_ema.safetensors", "run.json"]
        for name in names[: 2 if killed == "after the weights" else 3]:
            (new / name).rename(folder / name)
    train([trainer], OnlinePairs(runs[1], cache, CPU), CPU)
    assert _results(folder) == alone[1]
    assert not new.exists()


def test_every_run_that_fails_is_named(
    cache: ImageCache, image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = three_runs()
    broken = [
        one.model_copy(
            update={
                "training": run_settings(
                    training=one.training.model_dump(mode="json") | {"lr": 1e38}
                ).training
            }
        )
        for one in (first, second)
    ]
    with pytest.raises(
        ReflashError, match="last_conv-channel-p0.5/seed0: iteration .: the loss is"
    ):
        start([*broken, third], cache, image_folder, tmp_path)
    assert f"warning: {second.id}: iteration 5: the loss is" in capsys.readouterr().err


def test_one_beside_another_that_fails_fails_nothing(
    cache: ImageCache,
    image_folder: Path,
    tmp_path: Path,
    alone: list[dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, third = three_runs()
    training = second.training.model_dump(mode="json") | {"lr": 1e38}
    broken = second.model_copy(update={"training": run_settings(training=training).training})
    held([first, broken, third], cache, image_folder, tmp_path)
    assert "warning: none: iteration 5: the loss is" in capsys.readouterr().err
    assert _results(tmp_path / "a") == alone[0]
    assert _results(tmp_path / "c/.new") == alone[2]
    assert not (tmp_path / "b/.new").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"setting": "single"}, "setting"),
        ({"pairs": {"window": 64, "patch": 32}}, "pairs"),
        ({"degradation": {"usm": False}}, "degradation"),
        ({"sub_image": 64}, "sub_image"),
        ({"training": {"batch": 8}}, "training.batch is 8, that of"),
    ],
)
def test_runs_that_see_other_pairs_are_refused(change: dict[str, object], named: str) -> None:
    other = run_settings(id="other", **change)
    with pytest.raises(ReflashError, match=f"^other: {named}.*separate commands$"):
        check_agreement([run_settings(), other])


def test_a_run_or_folder_given_twice_is_refused(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReflashError, match="given twice"):
        check_agreement([run_settings(), run_settings()])
    runs = [run_settings(), run_settings(id="other", dropout="none")]
    validation = Validation(runs[0].training.validation, image_folder)
    trainers = [Trainer(run, validation, tmp_path / "same") for run in runs]
    with pytest.raises(ReflashError, match="same: given for several runs"):
        train(trainers, OnlinePairs(runs[0], cache, CPU), CPU)


def test_by_the_command(
    cache: ImageCache,
    image_folder: Path,
    tmp_path: Path,
    alone: list[dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["train", "--images", str(cache.folder), "--validation", str(image_folder)]
    arguments += ["--device", "cpu", "--prefetch"]
    for run, name in zip(three_runs(), NAMES, strict=True):
        arguments += ["--config", run.model_dump_json(), "--out", str(tmp_path / name)]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code in (0, None)
    assert results(tmp_path) == alone
    with pytest.raises(SystemExit):
        main(arguments[:-2])
    assert "--out: 2 folders for 3 runs" in capsys.readouterr().err


def test_a_job_imports_neither_the_compiler_nor_what_it_does_not_need(
    cache: ImageCache, image_folder: Path, tmp_path: Path
) -> None:
    """torch._dynamo alone takes as long to import as torch."""
    code = (
        "import sys\nfrom reflash.cli.app import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as stop: assert not stop.code\n"
        "unwanted = {'torch._dynamo', 'sympy', 'pandas', 'matplotlib', 'sklearn', 'scipy'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    arguments = ["train", "--images", str(cache.folder), "--validation", str(image_folder)]
    arguments += ["--config", run_settings().model_dump_json(), "--out", str(tmp_path)]
    command = [sys.executable, "-c", code, *arguments, "--device", "cpu", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
