"""Public weights: fetched from a server or a mirror, verified, and kept with their origin."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from web_server import Reply, WebServer

from reflash.core.errors import ReflashError
from reflash.datasets import public_weights
from reflash.datasets.download import Network
from reflash.datasets.public_weights import (
    PublicWeights,
    fetch_weights,
    find_weights,
    is_kept,
    weights_registry,
)
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings
from reflash.models.weights import load_network

TINY = RRDBSettings(features=8, blocks=1, growth=4)
QUICK = Network(retries=0, stall_timeout=5)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The same network in the two forms it is published in."""
    torch.manual_seed(0)
    state = build_network(TINY).state_dict()
    torch.save({"params_ema": state}, tmp_path / "net.pth")
    return {
        "/a/Tiny.pth": (tmp_path / "net.pth").read_bytes(),
        "/b/Tiny.safetensors": safetensors.torch.save(dict(state)),
    }


@pytest.fixture
def tiny(
    server: WebServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> PublicWeights:
    """An entry ``Tiny`` of the registry, with its sources on the server."""
    sources = [
        {"url": server.url + path, "sha256": hashlib.sha256(body).hexdigest()}
        for path, body in files.items()
    ]
    server.replies = {path: Reply(body) for path, body in files.items()}
    weights = PublicWeights.model_validate(
        {"label": "Tiny", "network": TINY, "terms": "None.", "note": "", "parameters": 10}
        | {"sources": sources}
    )
    monkeypatch.setattr(public_weights, "weights_registry", lambda: {"Tiny": weights})
    return weights


def test_the_registry_names_the_two_of_the_paper_s_size() -> None:
    for name in ("RealESRNet_x4plus", "RealESRGAN_x4plus"):
        weights = find_weights(name)
        network = build_network(weights.network)
        assert sum(p.numel() for p in network.parameters()) == weights.parameters == 16_697_987
        assert len(weights.sources) == 2
        assert [one.file for one in weights.sources] == [f"{name}.pth", f"{name}.safetensors"]
    assert len({one.sha256 for w in weights_registry().values() for one in w.sources}) == 4
    with pytest.raises(ReflashError, match="did you mean RealESRNet_x4plus"):
        find_weights("RealESRNet")


def test_both_forms_give_the_same_network(
    tiny: PublicWeights, server: WebServer, files: dict[str, bytes], tmp_path: Path
) -> None:
    first = fetch_weights("Tiny", dst=tmp_path / "one", network=QUICK)
    server.replies["/a/Tiny.pth"] = Reply(b"moved", 404)
    second = fetch_weights("Tiny", dst=tmp_path / "two", network=QUICK)
    records = [json.loads(path.with_suffix(".json").read_text()) for path in (first, second)]
    assert [r["origin"].rpartition("/")[2] for r in records] == ["Tiny.pth", "Tiny.safetensors"]
    assert [r["sha256"] for r in records] == [one.sha256 for one in tiny.sources]
    one, two = load_network(first).state_dict(), load_network(second).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not list((tmp_path / "one").glob(".*"))


def test_a_broken_connection_is_continued_and_a_kept_file_is_not_fetched_again(
    tiny: PublicWeights, server: WebServer, files: dict[str, bytes], tmp_path: Path
) -> None:
    body = files["/a/Tiny.pth"]
    server.replies["/a/Tiny.pth"] = [Reply(body, reset_after=3000), Reply(body)]
    path = fetch_weights("Tiny", dst=tmp_path, network=Network(retries=2, back_off=0))
    assert server.seen[1].headers["Range"] == "bytes=3000-"
    assert fetch_weights("Tiny", dst=tmp_path) == path
    assert len(server.seen) == 2
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_kept(path)
    fetch_weights("Tiny", dst=tmp_path)
    assert is_kept(path)


def test_changed_files_are_refused(
    tiny: PublicWeights, server: WebServer, files: dict[str, bytes], tmp_path: Path
) -> None:
    server.replies = {path: Reply(body[:-1] + b"x") for path, body in files.items()}
    with pytest.raises(ReflashError, match=r"\(1\).*wrong checksum.*\(2\).*--source FILE"):
        fetch_weights("Tiny", dst=tmp_path / "out", network=QUICK)
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]


def test_from_a_mirror_folder_or_a_file_of_any_name(
    tiny: PublicWeights, server: WebServer, files: dict[str, bytes], tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror/weights"
    mirror.mkdir(parents=True)
    (mirror / "Tiny.safetensors").write_bytes(files["/b/Tiny.safetensors"])
    (tmp_path / "download (1)").write_bytes(files["/a/Tiny.pth"])
    for number, source in enumerate((mirror.parent, mirror, tmp_path / "download (1)")):
        assert is_kept(fetch_weights("Tiny", source, tmp_path / str(number)))
    assert not server.seen
    assert is_kept(fetch_weights("Tiny", f"{server.url}/a/", tmp_path / "url"))
    assert server.paths() == ["/a/Tiny.pth"]
    (tmp_path / "empty").mkdir()
    fetch_weights("Tiny", tmp_path / "empty", tmp_path / "without")
    assert server.paths()[1:] == ["/a/Tiny.pth"]
    (mirror / "Tiny.safetensors").write_bytes(b"other")
    with pytest.raises(ReflashError, match="wrong checksum, sha256 is d9298a10d1"):
        fetch_weights("Tiny", mirror, tmp_path / "none")
    with pytest.raises(ReflashError, match="no such file or folder"):
        fetch_weights("Tiny", tmp_path / "nowhere", tmp_path / "none")


def test_another_network_than_registered_is_refused(
    server: WebServer, tiny: PublicWeights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tiny.model_copy(update={"network": RRDBSettings(features=8, blocks=2, growth=4)})
    monkeypatch.setattr(public_weights, "weights_registry", lambda: {"Tiny": other})
    with pytest.raises(ReflashError, match="2 blocks: body.1.rdb1.conv1.weight is missing"):
        fetch_weights("Tiny", dst=tmp_path, network=QUICK)
