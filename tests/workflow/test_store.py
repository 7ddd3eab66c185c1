"""DVC as the content store: publish here, restore in a fresh clone, and what can go wrong."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_copy import ROOT, Project, copy_project, small_study

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

NOT_NEEDED = {"train_network", "synthesise_pairs", "make_training_images", "fetch_dataset"}
RUN = "results/tiny/runs/srresnet/multi/none/seed0"


def git(project: Project, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return project.run("git", *identity, *arguments).stdout


def store(project: Project, action: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "reflash", "store", action, "--scale", "tiny")
    return project.run(*command, check=check)


def clone(project: Project, folder: Path) -> Project:
    subprocess.run(["git", "clone", "-q", project.folder, folder], check=True)
    return Project(folder)


@pytest.fixture(scope="module")
def published(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project in git, its results in a folder remote."""
    folder = tmp_path_factory.mktemp("published")
    everything = tuple(path.name for path in finished.folder.iterdir())
    project = copy_project(finished.folder, folder / "project", everything)
    copy_project(ROOT, project.folder, (".dvc", ".dvcignore", ".gitignore"))
    shutil.rmtree(project.folder / ".dvc/cache", ignore_errors=True)
    shutil.rmtree(project.folder / ".dvc/tmp", ignore_errors=True)
    git(project, "init", "-q", "-b", "main")
    project.run("dvc", "remote", "add", "--default", "store", str(folder / "remote"))
    assert "pushed to the remote store" in store(project, "publish").stdout
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "published")
    return project


def remote_of(project: Project) -> Path:
    return project.folder.parent / "remote"


def check_restored(restored: Project, published: Project) -> None:
    """The files are there again, and nothing is left to train or fetch."""
    for file in ("params.safetensors", "params_ema.safetensors", "log.csv"):
        assert (restored.folder / RUN / file).read_bytes() == (
            published.folder / RUN / file
        ).read_bytes()
    for file in ("results/tiny/config.json", "results/tiny/metrics.json", f"{RUN}/run.json"):
        assert (restored.folder / file).read_bytes() == (published.folder / file).read_bytes()
    assert not NOT_NEEDED & set(restored.planned())


def test_a_fresh_clone_restores_and_trains_nothing(published: Project, tmp_path: Path) -> None:
    fresh = clone(published, tmp_path / "fresh")
    assert store(fresh, "restore").stdout.strip().endswith("restored")
    check_restored(fresh, published)
    fresh.snakemake("--config", "scale=tiny", "weights=published")
    for kind, folder in (("figures", "figures/tiny"), ("tables", "results/tiny/tables")):
        paths = sorted((published.folder / folder).glob("*.csv"))
        assert paths, kind
        for path in paths:
            assert (fresh.folder / folder / path.name).read_bytes() == path.read_bytes()
    assert (fresh.folder / "results/tiny/report/index.html").is_file()
    assert not (fresh.folder / "data/tiny/train").exists()


def test_a_change_beside_restored_runs_trains_what_it_concerns(
    published: Project, tmp_path: Path
) -> None:
    fresh = clone(published, tmp_path / "fresh")
    store(fresh, "restore")
    with (fresh.folder / "src/reflash/evaluation/evaluate.py").open("a") as file:
        file.write("\n# a comment decides nothing\n")
    assert not NOT_NEEDED & set(fresh.planned())
    assert "evaluate_network" not in fresh.planned()
    with (fresh.folder / "src/reflash/evaluation/evaluate.py").open("a") as file:
        file.write("\nEDITED = True\n")
    assert fresh.planned()["evaluate_network"] == 10 + 1  # every run, and bicubic
    assert not NOT_NEEDED & set(fresh.planned())
    fresh.edit("config/study/short.yaml", "channel-p{0.2,0.7}", "channel-p{0.3,0.7}")
    fresh.snakemake("--until", "synthesise_pairs")  # training data again, of the same content
    assert fresh.planned()["train_network"] == 1


def test_metrics_plots_and_artifacts(published: Project, tmp_path: Path) -> None:
    shown = json.loads(published.run("dvc", "metrics", "show", "--json").stdout)
    values = shown["working tree" if "working tree" in shown else ""]["data"]
    table = values["results/tiny/metrics.json"]["data"]
    assert set(table) == {"Bicubic", "SRResNet", "SRResNet + dropout", "RRDB", "RRDB + dropout"}
    assert all(5 < value < 40 for value in table.values())
    published.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    assert "Validation PSNR (dB), scale tiny" in page
    assert "Mean PSNR (dB), scale tiny" in page
    assert "SRResNet + dropout on photos" in page
    name, out = "tiny-srresnet", tmp_path / "weights.safetensors"
    git(published, "tag", "-a", "-m", "v1", f"{name}@v1.0.0")  # how DVC finds its versions
    published.run("dvc", "artifacts", "get", ".", name, "--out", str(out))
    assert out.read_bytes() == (published.folder / RUN / "params.safetensors").read_bytes()


def test_an_unfinished_workflow_is_not_published(published: Project, tmp_path: Path) -> None:
    fresh = clone(published, tmp_path / "fresh")
    result = store(fresh, "publish", check=False)
    assert "scale tiny: the workflow is not finished" in one_line(result)


def test_a_scale_that_is_not_declared_is_not_published(published: Project) -> None:
    command = (sys.executable, "-m", "reflash", "store", "publish", "--scale", "benchmarks")
    line = one_line(published.run(*command, check=False))
    assert "dvc.yaml: publish.foreach: add benchmarks to demo, hour, paper, cpu, tiny" in line


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_missing_remote(published: Project, tmp_path: Path) -> None:
    fresh = clone(published, tmp_path / "fresh")
    fresh.run("dvc", "remote", "modify", "--local", "store", "url", str(tmp_path / "nowhere"))
    assert "the remote is missing, incomplete or damaged" in one_line(
        store(fresh, "restore", check=False)
    )


def stored_object(published: Project, remote: Path, path: str) -> Path:
    """Object of a remote that holds the content of ``path``."""
    import hashlib

    digest = hashlib.md5((published.folder / path).read_bytes()).hexdigest()
    return remote / "files/md5" / digest[:2] / digest[2:]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "dvc.lock: no such file; nothing was published"),
        ("<<<<<<< ours\nstages: {}\n", "dvc.lock: not valid YAML; resolve its conflicts with git"),
        ("schema: '2.0'\nstages: {}\n", "scale tiny was not published"),
    ],
)
def test_a_lock_file_that_says_nothing(
    text: str | None, message: str, published: Project, tmp_path: Path
) -> None:
    fresh = clone(published, tmp_path / "fresh")
    (fresh.folder / "dvc.lock").unlink()
    if text is not None:
        (fresh.folder / "dvc.lock").write_text(text)
    assert message in one_line(store(fresh, "restore", check=False))


def test_a_half_pushed_remote_is_healed_by_publishing_to_an_empty_one(
    published: Project, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"
    shutil.copytree(remote_of(published), remote)
    lost = stored_object(published, remote, f"{RUN}/params.safetensors")
    lost.unlink()
    fresh = clone(published, tmp_path / "fresh")
    fresh.run("dvc", "remote", "modify", "--local", "store", "url", str(remote))
    assert "incomplete" in one_line(store(fresh, "restore", check=False))
    everything = tuple(path.name for path in published.folder.iterdir())
    good = copy_project(published.folder, tmp_path / "good", everything)
    healed = str(tmp_path / "healed")
    good.run("dvc", "remote", "modify", "--local", "store", "url", healed)
    store(good, "publish")
    fresh.run("dvc", "remote", "modify", "--local", "store", "url", healed)
    store(fresh, "restore")
    assert not NOT_NEEDED & set(fresh.planned())


def test_a_corrupted_object_is_named_and_not_kept(published: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    shutil.copytree(remote_of(published), remote)
    bad = stored_object(published, remote, f"{RUN}/params.safetensors")
    content = bad.read_bytes()
    bad.chmod(0o644)
    bad.write_bytes(content[:50] + b"x" + content[51:])
    fresh = clone(published, tmp_path / "fresh")
    fresh.run("dvc", "remote", "modify", "--local", "store", "url", str(remote))
    line = one_line(store(fresh, "restore", check=False))
    assert f"{RUN}/params.safetensors" in line
    assert not (fresh.folder / RUN / "params.safetensors").exists()
    bad.write_bytes(content)
    store(fresh, "restore")
    assert (fresh.folder / RUN / "params.safetensors").read_bytes() == content


def test_a_read_only_cache_is_refused(published: Project, tmp_path: Path) -> None:
    fresh = clone(published, tmp_path / "fresh")
    fresh.run("dvc", "config", "--local", "cache.type", "hardlink")
    for action in ("publish", "restore"):
        line = one_line(store(fresh, action, check=False))
        assert "hardlinks make outputs read-only" in line
    assert not (fresh.folder / "results/tiny/runs").exists()


def test_published_weights_that_are_not_there(published: Project, tmp_path: Path) -> None:
    fresh = clone(published, tmp_path / "fresh")
    result = fresh.snakemake("-n", "--config", "scale=tiny", "weights=published", check=False)
    assert result.returncode != 0
    assert "restore them with make restore SCALE=tiny" in result.stdout + result.stderr


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A local S3 service that ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        url = f"http://127.0.0.1:{port}"
        import boto3

        boto3.client("s3", endpoint_url=url).create_bucket(Bucket="team")
        yield url
    finally:
        server.terminate()
        server.wait(10)


def test_through_s3(published: Project, s3_server: str, tmp_path: Path) -> None:
    everything = tuple(path.name for path in published.folder.iterdir())
    source = copy_project(published.folder, tmp_path / "source", everything)
    source.run("dvc", "remote", "modify", "store", "url", "s3://team/reflash")
    source.run("dvc", "remote", "modify", "store", "endpointurl", s3_server)
    assert "pushed to the remote store" in store(source, "publish").stdout
    git(source, "commit", "-q", "-a", "-m", "s3")
    fresh = clone(source, tmp_path / "fresh")
    store(fresh, "restore")
    check_restored(fresh, published)


def test_old_checkpoints_come_back_with_their_tag(published: Project, tmp_path: Path) -> None:
    everything = tuple(path.name for path in published.folder.iterdir())
    work = copy_project(published.folder, tmp_path / "work", everything)
    study = small_study("A run", ["srresnet/multi/none"], "multi_degradation")
    (work.folder / "config/study/short.yaml").write_text(study)
    work.snakemake()
    store(work, "publish")
    git(work, "commit", "-q", "-a", "-m", "one run")
    git(work, "tag", "first")
    work.edit("config/scale/tiny.yaml", "iterations: 20", "iterations: 10")
    work.snakemake()
    second = (work.folder / RUN / "params.safetensors").read_bytes()
    store(work, "publish")
    git(work, "commit", "-q", "-a", "-m", "fewer iterations")
    git(work, "tag", "second")
    git(work, "checkout", "-q", "first")
    store(work, "restore")
    for name in ("params.safetensors", "params_ema.safetensors"):
        expected = (published.folder / RUN / name).read_bytes()
        assert (work.folder / RUN / name).read_bytes() == expected
    assert not NOT_NEEDED & set(work.planned())
    git(work, "checkout", "-q", "second")
    store(work, "restore")
    assert (work.folder / RUN / "params.safetensors").read_bytes() == second != expected
