"""Every command on what goes wrong everywhere: one line, the right exit status, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from reflash.cli.app import app, main
from reflash.datasets.cache import build_cache
from reflash.datasets.images import write_png
from reflash.datasets.manifest import write_manifest
from reflash.degradations.benchmark import degrade_folder
from reflash.degradations.settings import BenchmarkSettings
from reflash.evaluation.metrics import PERFECT_PSNR
from reflash.models.build import build_network
from reflash.models.settings import NO_DROPOUT, SRResNetSettings
from reflash.models.weights import save_weights

NETWORK = {"name": "srresnet", "features": 8, "blocks": 2}
RUN = {
    "id": "srresnet/multi/none/seed0",
    "network": NETWORK,
    "dropout": "none",
    "setting": "multi",
    "seed": 0,
    "pairs": {"synthesis": "online", "window": 96, "patch": 32, "crops": 1, "shuffle_pool": 8},
    "degradation": {"group": 2},
    "training": {
        "iterations": 4,
        "batch": 2,
        "validation": {"every": 2, "images": 1, "kinds": ["clean"]},
    },
    "sub_image": None,
}
POOL = {
    "setting": "multi",
    "pairs": {"window": 96, "patch": 32, "crops": 1, "count": 4},
    "degradation": {"group": 2},
}

# What each command reads and writes: IN names a file or folder of the workplace, OUT is written.
COMMANDS = {
    "data list": "",
    "data fetch": "Set5 --accept-terms --retries 0 --source IN:hr --raw OUT",
    "data verify": "Set5 --raw IN:hr",
    "data leaks": "--train IN:hr --test IN:clean --out OUT",
    "data training-images": "OUT --settings IN:training.yaml",
    "data join": "IN:figure.csv --out OUT.csv",
    "data cache": "IN:hr OUT",
    "data test-set": "OUT --settings IN:test.yaml",
    "data real-photos": "OUT --photos IN:hr",
    "weights list": "",
    "weights fetch": "RealESRNet_x4plus",
    "weights import": "IN:net.safetensors",
    "degrade": "IN:hr OUT --kind clean",
    "pairs": "--config IN:pool.json --images IN:cache --out OUT",
    "train": "--config IN:run.json --validation IN:hr --images IN:cache --out OUT --device cpu",
    "evaluate": "--weights IN:net.safetensors --hr IN:hr --lr IN:clean --out OUT.csv",
    "metrics": "--results IN:results --out OUT.json",
    "upscale": "IN:clean OUT --weights IN:net.safetensors",
    "convert": "IN:net.safetensors OUT.pth",
    "saliency": "--weights IN:net.safetensors --lr IN:clean --out OUT --settings IN:analysis.yaml",
    "ablate": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "mask": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "represent": "--weights IN:net.safetensors --lr IN:clean --lr IN:noise --out OUT",
    "sensitivity": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "table": "multi_degradation --results IN:results --out OUT",
    "figure": "channel_ablation --from IN:figure.csv --out OUT",
    "claims": "--results IN:results --out OUT.json",
    "report": "--results IN:results",
    "runs": "--results IN:results",
    "bench": "degradation --quick --folder IN:scripts",
    "config check": "IN:config.yaml",
    "config run": "srresnet/multi/none --folder IN:config",
    "config schema": "",
    "config save": "--values IN:config.yaml --folder IN:config --out OUT.json",
    "config readme": "",
    "store publish": "",
    "store restore": "",
}

DEVICES = ("upscale", "evaluate", "ablate", "mask", "represent", "saliency", "sensitivity")
DEVICES += ("train", "bench")


def written(folder: Path) -> list[Path]:
    """Files that a command left in or as ``out``."""
    return [
        path
        for out in folder.glob("out*")
        for path in (out, *out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    ]


def inputs(files: bool | None = None) -> list[tuple[str, str]]:
    """Pairs of a command and an input of it; only files or only folders on request."""
    return [
        (command, word[3:])
        for command, words in COMMANDS.items()
        for word in dict.fromkeys(words.split())
        if word.startswith("IN:") and files in (None, "." in word)
    ]


NEED_RESULTS = ("metrics", "table", "claims", "figure", "data fetch", "config save")
WRITING = [name for name, words in COMMANDS.items() if "OUT" in words and name not in NEED_RESULTS]


@pytest.fixture(scope="module")
def workplace(root: Path) -> Iterator[Path]:
    """A folder with something of everything, which other users can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_png(folder / "hr" / f"{name}.png", rng.integers(0, 256, (96, 96, 3), np.uint8))
    for kind in ("clean", "noise"):
        degrade_folder(folder / "hr", folder / kind, kind, BenchmarkSettings())
    write_manifest(folder / "hr")
    build_cache(folder / "hr", folder / "cache")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(SRResNetSettings(features=8, blocks=2), NO_DROPOUT)
    save_weights(folder / "net.safetensors", network.state_dict(), {"network": NETWORK})
    (folder / "run.json").write_text(json.dumps(RUN))
    (folder / "pool.json").write_text(json.dumps(POOL))
    (folder / "training.yaml").write_text(f"{{source: folder, folder: {folder / 'hr'}}}")
    (folder / "test.yaml").write_text(f"{{source: folder, folder: {folder / 'hr'}}}")
    (folder / "analysis.yaml").write_text("{crop: 8}")
    (folder / "figure.csv").write_text("a,b\n1,2\n")
    (folder / "config.yaml").write_text("{study: main, scale: demo}")
    shutil.copytree(root / "config", folder / "config")
    (folder / "results").mkdir()
    (folder / "scripts").mkdir()
    yield folder
    shutil.rmtree(folder)


def words_of(command: str, folder: Path, out: Path, **replaced: Path) -> list[str]:
    """The command line with paths put in, some of the inputs replaced."""
    words = command.split()
    for word in COMMANDS[command].split():
        if word.startswith("IN:"):
            words.append(str(replaced.get(word[3:], folder / word[3:])))
        elif word.startswith("OUT"):
            words.append(f"{out}{word[3:]}")
        else:
            words.append(word)
    return words


def told(reflash, words: list[str], named: Path | str) -> str:
    """Run a command that must fail; return its one line, which names what is wrong."""
    outcome = reflash(*words)
    assert outcome.status in (1, 2), outcome.err
    assert str(named) in outcome.error
    assert len(outcome.error) < 1000
    return outcome.error


def test_every_command_is_tried() -> None:
    def named(group, path: tuple[str, ...] = ()) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from named(command, (*path, name))
            else:
                yield " ".join((*path, name))

    assert set(named(typer.main.get_command(app))) == set(COMMANDS)


@pytest.mark.parametrize(("command", "name"), inputs())
def test_a_missing_input(command, name, workplace, tmp_path, reflash) -> None:
    missing = tmp_path / "not there" / name
    told(reflash, words_of(command, workplace, tmp_path / "out", **{name: missing}), missing)
    assert not written(tmp_path)


@pytest.mark.parametrize(("command", "name"), inputs(files=True))
def test_a_folder_instead_of_a_file(command, name, workplace, tmp_path, reflash) -> None:
    folder = tmp_path / f"folder {name}"
    folder.mkdir()
    told(reflash, words_of(command, workplace, tmp_path / "out", **{name: folder}), folder)
    assert not written(tmp_path)


@pytest.mark.parametrize(
    ("command", "name"),
    [pair for pair in inputs(files=False) if pair not in {("degrade", "hr"), ("upscale", "clean")}],
)
def test_a_file_instead_of_a_folder(command, name, workplace, tmp_path, reflash) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    told(reflash, words_of(command, workplace, tmp_path / "out", **{name: file}), file)
    assert not written(tmp_path)


@contextmanager
def another_user() -> Iterator[None]:
    """Be somebody who may not read and write everything, for tests that root runs."""
    # Where Python is root's, nobody else can import what commands import late.
    import sklearn.datasets
    import sklearn.manifold  # noqa: F401

    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def commons(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can write to, with the temporary files in it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("command", "name"), [pair for pair in inputs(files=True) if pair[0] != "figure"]
)
def test_an_unreadable_file(command, name, workplace, commons, reflash) -> None:
    secret = commons / f"secret.{name}"
    shutil.copy(workplace / name, secret)
    secret.chmod(0)
    words = words_of(command, workplace, commons / "out", **{name: secret})
    with another_user():
        told(reflash, words, secret)
    assert not written(commons)


@pytest.mark.parametrize("command", WRITING)
def test_a_folder_that_cannot_be_written(command, workplace, commons, reflash) -> None:
    locked = commons / "locked"
    locked.mkdir(mode=0o555)
    with another_user():
        told(reflash, words_of(command, workplace, locked / "out"), locked / "out")
    assert not list(locked.iterdir())


@pytest.mark.parametrize("command", [name for name in WRITING if name != "data leaks"])
def test_a_full_disk(command, workplace, full_disk, reflash) -> None:
    with suppress(OSError):
        (full_disk / "filler").write_bytes(bytes(2**20))
    line = told(reflash, words_of(command, workplace, full_disk / "out"), full_disk)
    assert "disk" in line


@pytest.mark.parametrize(
    ("command", "device"),
    [
        (command, device)
        for command in DEVICES
        for device in ("meta", "xla", "gpu", "", "mps:9", "cuda:99")
        if command != "bench" or ":" not in device  # its scripts look for the device themselves
    ],
)
def test_a_device_that_is_not_there(command, device, workplace, tmp_path, reflash) -> None:
    words = words_of(command, workplace, tmp_path / "out")
    line = told(reflash, [*words, "--device", device], "device")
    assert repr(device) in line
    assert not written(tmp_path)


def test_a_device_for_bicubic_that_is_not_there(workplace, tmp_path, reflash) -> None:
    arguments = [workplace / "clean", tmp_path / "out", "--weights", "bicubic"]
    assert "'cuda:99'" in reflash("upscale", *arguments, "--device", "cuda:99").error


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("upscale", ["--tile", "-1"]),
        ("upscale", ["--tile", "1.5"]),
        ("upscale", ["--limit", "0"]),
        ("upscale", ["--threads", "-1"]),
        ("evaluate", ["--settings", "{tile: -1}"]),
        ("evaluate", ["--settings", "{overlap: -1}"]),
        ("evaluate", ["--settings", "{crop: .nan}"]),
        ("data test-set", ["--mod", "0"]),
        ("data fetch", ["--timeout", "inf"]),
        ("data fetch", ["--timeout", "nan"]),
        ("data fetch", ["--retries", "-1"]),
        *(("degrade", ["--noise-sigma", value]) for value in ("inf", "nan", "-1", "1e999")),
        ("degrade", ["--settings", "{noise_only_sigma: .inf}"]),
        ("degrade", ["--settings", "{blur_sigma: .nan}"]),
        ("degrade", ["--mod", "0"]),
        ("degrade", ["--seed", "x"]),
        ("represent", ["--settings", "{perplexity: .inf}"]),
        ("represent", ["--settings", "{perplexity: .nan}"]),
        ("represent", ["--settings", "{pca: 0}"]),
        ("sensitivity", ["--settings", "{ratios: [.nan]}"]),
        ("mask", ["--settings", "{masking_draws: 0}"]),
        ("ablate", ["--settings", "{crop: 0}"]),
        ("saliency", ["--settings", "{images: -1}"]),
        *(("train", ["--save-every", value]) for value in ("inf", "nan", "-1")),
        *(("train", ["--time-budget", value]) for value in ("inf", "nan", "-1")),
    ],
)
def test_values_that_mean_nothing(command, options, workplace, tmp_path, reflash) -> None:
    words = words_of(command, workplace, tmp_path / "out")
    if "--settings" in words and "--settings" in options:
        place = words.index("--settings")
        del words[place : place + 2]
    key = options[1].strip("{").split(":")[0] if options[0] == "--settings" else options[0]
    told(reflash, [*words, *options], key.replace("--noise-sigma", "sigma").lstrip("-"))
    assert not written(tmp_path)


@pytest.mark.parametrize("key", ["lr", "weight_decay", "ema", "loss_weight"])
@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_training_settings_that_mean_nothing(key, value, workplace, tmp_path, reflash) -> None:
    run = json.dumps({**RUN, "training": {**RUN["training"], key: 0}})  # type: ignore[dict-item]
    (tmp_path / "run.json").write_text(run.replace(f'"{key}": 0', f'"{key}": {value}'))
    words = words_of("train", workplace, tmp_path / "out", **{"run.json": tmp_path / "run.json"})
    told(reflash, words, key)
    assert not written(tmp_path)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_missing_argument_or_an_unknown_option(command, reflash) -> None:
    outcome = reflash(*command.split(), "--no-such-option")
    assert outcome.status == 2
    assert "--no-such-option" in outcome.error
    assert f"{command} --help" in outcome.error


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "command", [name for name, words in COMMANDS.items() if "IN:net.safetensors" in words]
)
def test_weights_that_are_not_finite(command, weight, workplace, tmp_path, reflash) -> None:
    network = build_network(SRResNetSettings(features=8, blocks=2), NO_DROPOUT)
    network.body[1].conv2.weight.data[0, 0, 0, 0] = float(weight)
    bad = tmp_path / "bad.safetensors"
    save_weights(bad, network.state_dict(), {"network": NETWORK})
    line = told(
        reflash, words_of(command, workplace, tmp_path / "out", **{"net.safetensors": bad}), bad
    )
    assert "body.1.conv2.weight" in line
    assert not written(tmp_path)


@pytest.mark.parametrize("command", DEVICES[:-2])
def test_an_output_that_is_not_finite(command, workplace, tmp_path, reflash) -> None:
    network = build_network(SRResNetSettings(features=8, blocks=2), NO_DROPOUT)
    for layer in (network.conv_first, network.conv_hr, network.conv_last):
        layer.weight.data.fill_(1e20)  # finite, but not their product
        layer.bias.data.fill_(1e20)
    bad = tmp_path / "huge.safetensors"
    save_weights(bad, network.state_dict(), {"network": NETWORK})
    line = told(
        reflash, words_of(command, workplace, tmp_path / "out", **{"net.safetensors": bad}), "huge"
    )
    assert "not finite" in line
    assert not written(tmp_path)


def test_a_perfect_score(cases, tmp_path, reflash) -> None:
    """A plain white image is reproduced exactly: MSE 0."""
    out = tmp_path / "bicubic.csv"
    folders = ["--lr", cases / "blank-lr/clean", "--lr", cases / "blank-lr/noise"]
    arguments = ["--weights", "bicubic", "--hr", cases / "blank-hr", *folders, "--out", out]
    outcome = reflash("evaluate", *arguments, "--run", "bicubic", "--set", "blank")
    assert outcome.status == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    white = [row for row in rows if row[2:4] == ["clean", "white"]]
    assert [row[4:] for row in white] == [[f"{v:.6f}" for v in (PERFECT_PSNR, 1, PERFECT_PSNR, 1)]]
    assert all(float(value) < PERFECT_PSNR for value in [r[4] for r in rows[1:] if r[3] == "bird"])
    assert "clean: psnr" in outcome.out


def test_long_and_twice_composed_names(cases, tmp_path, reflash) -> None:
    out = tmp_path / "out"
    assert reflash("upscale", cases / "names/long", out, "--weights", "bicubic").status == 0
    assert [path.name for path in out.iterdir()] == [
        path.name for path in (cases / "names/long").iterdir()
    ]
    names = cases / "names/nf"
    arguments = ["--weights", "bicubic", "--hr", names / "hr", "--lr", names / "clean"]
    outcome = reflash("evaluate", *arguments, "--out", tmp_path / "e.csv")
    assert outcome.status == 0, outcome.err
    assert "m\u00fcnchen" in (tmp_path / "e.csv").read_text()


def test_means_end_an_evaluation(workplace, tmp_path, reflash) -> None:
    words = words_of("evaluate", workplace, tmp_path / "out")
    outcome = reflash(*words)
    assert outcome.out.startswith("clean: psnr ")
    assert outcome.out.endswith("(2 images)\n")
    assert outcome.err == ""


def test_ctrl_c_in_a_command(monkeypatch: pytest.MonkeyPatch, workplace, tmp_path, reflash) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reflash.evaluation.upscalers.choose_device", interrupted)
    outcome = reflash(*words_of("upscale", workplace, tmp_path / "out"))
    assert (outcome.status, outcome.err) == (130, "interrupted\n")


RUNNING = (sys.executable, "-m", "reflash")


def test_ctrl_c_stops_at_once_and_leaves_nothing_half_written(workplace, tmp_path) -> None:
    write_png(tmp_path / "in" / "large.png", np.zeros((1500, 1500, 3), np.uint8))
    weights = workplace / "net.safetensors"
    words = ["upscale", tmp_path / "in", tmp_path / "out", "--weights", weights, "--tile", "16"]
    running = subprocess.Popen(
        [*RUNNING, *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    time.sleep(8)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("words", ["data list", "config schema", "config readme", "--help"])
def test_a_reader_that_has_enough(words) -> None:
    command = f"{' '.join(RUNNING)} {words} | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""
    assert ended.returncode in (0, 1)


def test_ctrl_c_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reflash.cli.app.app", interrupted)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 130
