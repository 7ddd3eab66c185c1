"""Every command on what goes wrong everywhere: one line, the right exit status, nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))

import toy_set

from reflash.cli.app import app, main
from reflash.datasets.cache import build_cache
from reflash.datasets.images import write_png
from reflash.datasets.manifest import write_manifest
from reflash.datasets.public_weights import PublicWeights
from reflash.degradations.benchmark import degrade_folder
from reflash.degradations.settings import BenchmarkSettings
from reflash.evaluation.metrics import PERFECT_PSNR
from reflash.models.build import build_network
from reflash.models.settings import NO_DROPOUT, SRResNetSettings
from reflash.models.weights import save_weights
from reflash.study.artefacts import Figures, Tables
from reflash.study.checks import load_plan
from reflash.study.inputs import evaluation_files
from reflash.study.plan import Plan
from reflash.study.saved import save_config
from reflash.training.record import write_record

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

STUDY = {
    "title": "A few models",
    "models": ["srresnet/multi/none", "srresnet/multi/last_conv-channel-p0.7"],
    "tables": dict.fromkeys(set(Tables.model_fields) - {"multi_degradation", "claims"}),
    "figures": dict.fromkeys(set(Figures.model_fields) - {"teaser_bars"}),
}
RESULTS = "IN:project/results/tiny/few"

# What each command reads and writes: IN names a file or folder of the workplace, OUT is written.
COMMANDS = {
    "data list": "",
    "data fetch": "Toy --retries 0 --source IN:toy --raw OUT",
    "data verify": "Set5 --raw IN:hr",
    "data leaks": "--train IN:hr --test IN:clean --out OUT",
    "data training-images": "OUT --settings IN:training.yaml",
    "data join": "IN:figure.csv --out OUT.csv",
    "data cache": "IN:hr OUT",
    "data test-set": "OUT --settings IN:test.yaml",
    "data real-photos": "OUT --photos IN:hr",
    "weights list": "",
    "weights fetch": "Tiny --source IN:public.safetensors --folder OUT",
    "weights import": "IN:net.safetensors",
    "degrade": "IN:hr OUT --kind clean",
    "pairs": "--config IN:pool.json --images IN:cache --out OUT",
    "train": "--config IN:run.json --validation IN:hr --images IN:cache --out OUT --device cpu",
    "evaluate": "--weights IN:net.safetensors --hr IN:hr --lr IN:clean --out OUT.csv",
    "metrics": f"--results {RESULTS} --out OUT.json",
    "upscale": "IN:clean OUT --weights IN:net.safetensors",
    "convert": "IN:net.safetensors OUT.pth",
    "saliency": "--weights IN:net.safetensors --lr IN:clean --out OUT --settings IN:analysis.yaml",
    "ablate": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "mask": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "represent": "--weights IN:net.safetensors --lr IN:clean --lr IN:noise --out OUT",
    "sensitivity": "--weights IN:net.safetensors --lr IN:clean --hr IN:hr --out OUT.csv",
    "table": f"multi_degradation --results {RESULTS} --out OUT",
    "figure": f"teaser_bars --results {RESULTS} --out OUT",
    "figure --from": "IN:bars.csv --out OUT teaser_bars",
    "claims": f"--results {RESULTS} --out OUT.json",
    "report": f"--results {RESULTS} --out OUT.html",
    "findings": f"IN:page.md --results {RESULTS} --out OUT.md",
    "runs": f"--results {RESULTS}",
    "store keep": f"--results {RESULTS}",
    "plan": "--folder IN:config --scale tiny --study main --iterations 1 --device cpu",
    "bench": "degradation --quick --folder IN:scripts",
    "init": "OUT",
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
        if path.is_file() and path.suffix != ".lock" and path.name != ".lock"
    ]


def inputs(files: bool | None = None) -> list[tuple[str, str]]:
    """Pairs of a command and an input of it; only files or only folders on request."""
    return [
        (command, word[3:])
        for command, words in COMMANDS.items()
        for word in dict.fromkeys(words.split())
        if word.startswith("IN:") and files in (None, "." in word)
    ]


WRITING = [name for name, words in COMMANDS.items() if "OUT" in words]


def make_study(project: Path, config: Path) -> None:
    """Write what a finished study leaves: its configuration, runs, scores, a table and a figure."""
    (config / "study/few.yaml").write_text(json.dumps(STUDY))
    plan: Plan = load_plan({"scale": "tiny", "study": "few"}, config)
    results = save_config(plan, project / plan.files.config).parent
    for file in evaluation_files(plan):
        run, test_set = file.split("/runs/")[1].split("/evaluation/")
        scores = dict.fromkeys(("psnr", "psnr_y"), 25.0) | dict.fromkeys(("ssim", "ssim_y"), 0.7)
        about = {"run": run, "set": test_set.removesuffix(".csv")}
        rows = [about | {"kind": k, "image": i} | scores for k in plan.kinds for i in ("a", "b")]
        (project / file).parent.mkdir(parents=True)
        pd.DataFrame(rows).to_csv(project / file, index=False)
    for run in plan.trained_runs:
        folder = project / plan.files.run(run)
        for name in ("params.safetensors", "params_ema.safetensors", "log.csv"):
            (folder / name).write_text(run)
        write_record(
            folder,
            plan.run_settings(run),
            **{"recipe": "0", "data": "1", "made_from": "", "done": 20, "seconds": 1.0},
            **{"device": "cpu", "precision": "fp32", "threads": 1},
            **{"runs_together": 1, "resumes": 0},
        )
    for artefact in ("table multi_degradation", "claims", "table claims", "figure teaser_bars"):
        with suppress(SystemExit):
            main([*artefact.split(), "--results", str(results)])


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
    (folder / "page.md").write_text("<!-- findings -->\n<!-- end -->\n")
    (folder / "figure.csv").write_text("a,b\n1,2\n")
    (folder / "config.yaml").write_text("{study: main, scale: demo}")
    shutil.copytree(root / "config", folder / "config")
    (folder / "scripts").mkdir()
    make_study(folder / "project", folder / "config")
    for suffix in (".csv", ".json"):
        drawn = folder / f"project/figures/tiny/few/teaser_bars{suffix}"
        shutil.copy(drawn, folder / f"bars{suffix}")
    toy_set.make_images(folder / "toy")
    shutil.copy(folder / "net.safetensors", folder / "public.safetensors")
    public = hashlib.sha256((folder / "public.safetensors").read_bytes()).hexdigest()
    url = "http://127.0.0.1:9/"
    entry = PublicWeights.model_validate(
        {"label": "Tiny", "network": NETWORK, "terms": "None.", "note": "", "parameters": 9}
        | {"sources": [{"url": f"{url}public.safetensors", "sha256": public}]}
    )
    with pytest.MonkeyPatch.context() as patch:
        toy_set.install(folder / "toy", [{"kind": "archive", "url": f"{url}a.zip"}], patch.setattr)
        patch.setattr("reflash.datasets.registry.find", toy_set.fetch_module.find)
        patch.setattr("reflash.datasets.public_weights.weights_registry", lambda: {"Tiny": entry})
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

    commands = {command.partition(" --")[0] for command in COMMANDS}
    assert set(named(typer.main.get_command(app))) == commands


@pytest.mark.parametrize(("command", "name"), inputs())
def test_a_missing_input(command, name, workplace, tmp_path, reflash) -> None:
    missing = tmp_path / "not there" / name
    told(reflash, words_of(command, workplace, tmp_path / "out", **{name: missing}), missing)
    assert not written(tmp_path)


@pytest.mark.parametrize(
    ("command", "name"), [pair for pair in inputs(files=True) if pair[0] != "weights fetch"]
)
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


@pytest.mark.parametrize(
    ("command", "name"), [pair for pair in inputs(files=True) if pair[0] != "figure --from"]
)
def test_an_unreadable_file(command, name, workplace, commons, another_user, reflash) -> None:
    secret = commons / f"secret.{name}"
    shutil.copy(workplace / name, secret)
    secret.chmod(0)
    words = words_of(command, workplace, commons / "out", **{name: secret})
    with another_user():
        told(reflash, words, secret)
    assert not written(commons)


@pytest.mark.parametrize("command", WRITING)
def test_a_folder_that_cannot_be_written(
    command, workplace, commons, another_user, reflash
) -> None:
    locked = commons / "locked"
    locked.mkdir(mode=0o555)
    with another_user():
        told(reflash, words_of(command, workplace, locked / "out"), locked / "out")
    assert not list(locked.iterdir())


@pytest.mark.parametrize("command", WRITING)
def test_a_full_disk(command, workplace, full_disk, reflash) -> None:
    with suppress(OSError):
        (full_disk / "filler").write_bytes(bytes(2**20))
    line = told(reflash, words_of(command, workplace, full_disk / "out"), full_disk)
    assert "disk" in line
    assert not written(full_disk)


@pytest.mark.parametrize("command", WRITING)
def test_a_disk_that_becomes_full(command, workplace, full_disk, reflash) -> None:
    """What is there then is whole: two pages of room are enough for a part of the files."""
    with (full_disk / "filler").open("wb") as filler, suppress(OSError):
        filler.write(bytes(2**20))
    os.truncate(full_disk / "filler", (full_disk / "filler").stat().st_size - 2 * 4096)
    outcome = reflash(*words_of(command, workplace, full_disk / "out"))
    if outcome.status:
        assert str(full_disk) in outcome.error
        assert "disk" in outcome.error
    assert all(path.stat().st_size for path in written(full_disk))
    assert not list(full_disk.rglob("*.tmp*"))


@pytest.mark.parametrize(
    ("command", "device"),
    [
        (command, device)
        for command in DEVICES
        for device in ("meta", "xla", "gpu", "mps:9", "cuda:99")
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
        ("evaluate", ["--settings", "{tile: true}"]),
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


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "--out", ""], "--out"),
        (["evaluate", "--hr=", "--out", "a.csv"], "--hr"),
        (["upscale", " "], "an argument"),
    ],
)
def test_an_empty_argument_is_not_this_folder(arguments, named, reflash) -> None:
    """As a shell variable that is not set gives it."""
    outcome = reflash(*arguments)
    assert outcome.status == 2
    assert f"Invalid value for {named}: it is empty; leave it out" in outcome.error


@pytest.mark.parametrize("command", [name for name in COMMANDS if "--" not in name])
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


@pytest.mark.parametrize("command", ["table", "figure", "figure --from", "metrics"])
def test_a_dot_in_a_name_is_no_suffix(command, workplace, tmp_path, reflash) -> None:
    for p in ("p0.7", "p0.5"):
        words = words_of(command, workplace, tmp_path / "out")
        place = words.index("--out") + 1
        words[place] = str(tmp_path / f"out_{p}")
        assert reflash(*words).status == 0
    names = {path.name for path in written(tmp_path)}
    assert all(name.startswith(("out_p0.7", "out_p0.5")) for name in names)
    assert {n.replace("0.7", "0.5") for n in names if "0.7" in n} == {
        n for n in names if "0.5" in n
    }


def test_a_perfect_score(workplace, tmp_path, reflash) -> None:
    """A plain white image is reproduced exactly: MSE 0."""
    out, noise = tmp_path / "bicubic.csv", np.random.default_rng(0)
    for kind, side in (("hr", 48), ("clean", 12), ("noise", 12)):
        white = np.full((side, side, 3), 255, np.uint8)
        grain = noise.integers(0, 40, white.shape, np.uint8) if kind == "noise" else 0
        write_png(tmp_path / kind / "white.png", white - grain)
        write_png(tmp_path / kind / "bird.png", noise.integers(0, 256, white.shape, np.uint8))
    folders = ["--lr", tmp_path / "clean", "--lr", tmp_path / "noise"]
    arguments = ["--weights", "bicubic", "--hr", tmp_path / "hr", *folders, "--out", out]
    outcome = reflash("evaluate", *arguments, "--run", "bicubic", "--set", "blank")
    assert outcome.status == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    white = [row for row in rows if row[2:4] == ["clean", "white"]]
    perfect = (PERFECT_PSNR, 1, PERFECT_PSNR, 1, *4 * [PERFECT_PSNR])  # of three bands, and usm
    assert [row[4:] for row in white] == [[f"{v:.6f}" for v in perfect]]
    assert all(float(value) < PERFECT_PSNR for value in [r[4] for r in rows[1:] if r[3] == "bird"])
    assert "clean: psnr" in outcome.out


def test_long_and_twice_composed_names(tmp_path, reflash) -> None:
    """HR is named with a letter of two code points (macOS), LR with the one of Linux."""
    out, long = tmp_path / "out", "a_portrait_of_a_person_" * 10
    write_png(tmp_path / f"long/{long}.png", np.zeros((6, 6, 3), np.uint8))
    assert reflash("upscale", tmp_path / "long", out, "--weights", "bicubic").status == 0
    assert [path.name for path in out.iterdir()] == [f"{long}.png"]
    for kind, name, side in (("hr", "mu\u0308nchen", 48), ("clean", "m\u00fcnchen", 12)):
        write_png(tmp_path / kind / f"{name}.png", np.zeros((side, side, 3), np.uint8))
    arguments = ["--weights", "bicubic", "--hr", tmp_path / "hr", "--lr", tmp_path / "clean"]
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


@pytest.mark.parametrize("command", WRITING)
def test_ctrl_c_while_a_file_is_written(command, workplace, tmp_path, reflash, monkeypatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reflash.core.files.os.fsync", interrupted)
    outcome = reflash(*words_of(command, workplace, tmp_path / "out"))
    assert outcome.status == 130
    assert outcome.err.endswith("interrupted\n")
    assert "Traceback" not in outcome.err
    # Parts are what `pairs` goes on with.
    assert not [path for path in written(tmp_path) if path.suffix != ".part"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if not name.startswith("store")])
def test_a_reader_that_has_gone(command, workplace, tmp_path, reflash, monkeypatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(BrokenPipeError), os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        outcome = reflash(*words_of(command, workplace, tmp_path / "out"))
        monkeypatch.undo()
    assert outcome.status in (0, 1)
    assert "Traceback" not in outcome.err
    assert "Broken pipe" not in outcome.err


RUNNING = (sys.executable, "-m", "reflash")


def test_ctrl_c_stops_at_once_and_leaves_nothing_half_written(workplace, tmp_path) -> None:
    write_png(tmp_path / "in" / "large.png", np.zeros((1500, 1500, 3), np.uint8))
    weights = workplace / "net.safetensors"
    words = ["upscale", tmp_path / "in", tmp_path / "out", "--weights", weights, "--tile", "16"]
    start = (
        "import sys; from reflash.cli import main; from reflash.core import progress; "
        "progress.LINE_SECONDS = 0; main(sys.argv[1:])"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", start, *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # a shell's background jobs ignore Ctrl-C, and what they start inherits that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stderr is not None
    said = iter(running.stderr.readline, "")
    assert any(line.startswith("tiles: ") for line in said)  # it is at work
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

    monkeypatch.setattr("reflash.cli.app._command", lambda: SimpleNamespace(main=interrupted))
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 130


# Names and settings of one's own ---------------------------------------------------------------


CAFE = os.fsdecode(b"caf\xe9")
"""A name that is not UTF-8."""


EVALUATE = "evaluate --weights bicubic --hr HR --lr CLEAN --out OUT"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("data leaks --train FOLDER --test FOLDER --out OUT", "out.found.csv: "),
        (f"{EVALUATE} --set {CAFE}", r"caf\xe9: not a UTF-8 name; give the set another"),
        (f"{EVALUATE} --run {CAFE}", r"caf\xe9: not a UTF-8 name; give the run another"),
    ],
)
def test_a_folder_or_name_that_is_not_utf_8(words, named, workplace, tmp_path, reflash) -> None:
    shutil.copytree(workplace / "hr", tmp_path / CAFE)
    places = {"FOLDER": tmp_path / CAFE, "OUT": tmp_path / "out.csv"}
    places |= {"HR": workplace / "hr", "CLEAN": workplace / "clean"}
    line = told(reflash, [str(places.get(word, word)) for word in words.split()], named)
    assert r"caf\xe9" in line
    assert not written(tmp_path)


def test_a_path_that_is_not_utf_8_can_be_shown(workplace, tmp_path) -> None:
    out = tmp_path / f"{CAFE}.json"
    arguments = ["--values", "{scale: tiny}", "--folder", workplace / "config", "--out", out]
    ended = subprocess.run(
        [*RUNNING, "config", "save", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("/caf\\udce9.json\n")
    assert out.is_file()


ODD_CONFIGS = {
    "[1, 2]: 3": "line 1: a list or mapping is no key",
    "{a: 1}: 3": "line 1: a list or mapping is no key",
    f"study: {'[' * 3000}{']' * 3000}": "nested too deeply",
    f"study: {'{a: ' * 3000}{'}' * 3000}": "nested too deeply",
    "study: main\nstudy: mine": "line 2: key 'study' is given twice",
    "study: main\n\tscale: tiny": "line 2: found character '\\t'",
    "study: &a [*a]": "study: input should be a valid string, not [[[...]]]",
    "study: !!python/object/apply:os.system [ls]": "line 1: could not determine a constructor",
    "study: main\n---\nstudy: main": "line 2: but found another document",
    "study: 2020-01-01": "study: input should be a valid string, not datetime.date(2020, 1, 1)",
    "study: ../main": "study: '../main' is also the name of a folder",
    "overrides: {seeds: [0, 1, 0]}": "seeds: [0, 1, 0]; give each seed once, and none below 0",
    "overrides: {seeds: [-1]}": "seeds: [-1]; give each seed once, and none below 0",
    "overrides: {training: 5}": "training: input should be a valid dictionary",
    "\n".join(
        [
            "s0: &s0 [x, x, x]",
            *(f"s{n}: &s{n} [*s{n - 1}, *s{n - 1}, *s{n - 1}]" for n in range(1, 9)),
        ]
    )
    + "\nstudy: *s8": "study: input should be a valid string, not [[[...], [...], [...]],",
}


@pytest.mark.parametrize("text", ODD_CONFIGS)
def test_odd_configurations_are_one_line(text, workplace, tmp_path, reflash) -> None:
    path = tmp_path / "config.yaml"
    for folder in ("study", "scale"):
        (tmp_path / folder).symlink_to(workplace / "config" / folder)
    path.write_text(text)
    told(reflash, ["config", "check", path], ODD_CONFIGS[text])


def test_a_pattern_of_too_many_models(workplace, tmp_path, reflash) -> None:
    shutil.copytree(workplace / "config", tmp_path, dirs_exist_ok=True)
    study = {"title": "Many", "models": [f"srresnet/multi/{'{a,b}' * 40}"]}
    (tmp_path / "study/many.yaml").write_text(json.dumps(study))
    (tmp_path / "config.yaml").write_text("{study: many, scale: tiny}")
    told(reflash, ["config", "check", tmp_path / "config.yaml"], "more than 10,000 models")


def test_training_of_a_finished_run_says_so(workplace, tmp_path, reflash) -> None:
    """The same again changes nothing; with other validation images, its log would be another."""
    words = words_of("train", workplace, tmp_path / "out")
    assert reflash(*words).status == 0
    before = {path: path.stat().st_mtime_ns for path in written(tmp_path)}
    outcome = reflash(*words)
    assert outcome.status == 0
    assert "already finished" in outcome.err
    for name in ("a", "b"):
        write_png(tmp_path / f"other/{name}.png", np.full((96, 96, 3), 9, np.uint8))
    other = words_of("train", workplace, tmp_path / "out", hr=tmp_path / "other")
    assert "(the validation images)" in told(reflash, other, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in written(tmp_path)} == before
