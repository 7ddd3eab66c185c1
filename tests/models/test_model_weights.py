import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reflash.core.errors import ReflashError
from reflash.models.build import build_network
from reflash.models.settings import RRDBSettings, SRResNetSettings, parse_dropout
from reflash.models.weights import convert, load_network, load_weights, save_weights

SRRESNET = SRResNetSettings(features=6, blocks=3)
RRDB = RRDBSettings(features=6, blocks=2, growth=4)
LR = torch.rand(1, 3, 5, 4, generator=torch.Generator().manual_seed(1))


def weights(settings=SRRESNET, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return dict(build_network(settings).state_dict())


def same(state_dict, expected) -> bool:
    return list(state_dict) == list(expected) and all(
        torch.equal(state_dict[key], expected[key]) for key in expected
    )


def saved(path: Path, settings=SRRESNET, dropout: str = "none", **rest) -> Path:
    metadata = {"network": settings, "dropout": dropout, "which": "params", **rest}
    save_weights(path, weights(settings), metadata)
    return path


def authors_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """body.N.conv1 -> body(N+1).0.conv1, by hand for three blocks."""
    for n in (0, 1, 2):
        state = {
            key.replace(f"body.{n}.", f"body{n + 1}.0."): tensor for key, tensor in state.items()
        }
    return state


def one_line(caught: pytest.ExceptionInfo[ReflashError], path: Path) -> str:
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("settings", [SRRESNET, RRDB], ids=["srresnet", "rrdb"])
def test_own_weights_come_back_with_their_description(tmp_path: Path, settings):
    path = tmp_path / "deep" / "w.safetensors"
    dropout = parse_dropout("b4-channel-p0.1+last_conv-channel-p0.7")
    save_weights(
        path,
        weights(settings),
        {"network": settings, "dropout": dropout, "which": "params_ema", "run": "a/b", "scale": 4},
    )
    state_dict, metadata = load_weights(path)
    assert set(state_dict) == set(weights(settings))
    assert all(torch.equal(state_dict[key], w) for key, w in weights(settings).items())
    assert metadata == {
        "network": settings.model_dump(),
        "dropout": str(dropout),
        "which": "params_ema",
        "run": "a/b",
        "scale": 4,
    }
    network = load_network(path)
    assert (network.settings, network.dropout) == (settings, dropout)
    assert not any(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    torch.manual_seed(0)
    assert torch.equal(network(LR), build_network(settings).eval()(LR))


def test_loading_leaves_the_random_state(tmp_path: Path):
    path = saved(tmp_path / "w.safetensors")
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load_network(path)
    assert torch.equal(torch.rand(3), expected)


def test_same_weights_give_the_same_bytes_in_another_process(tmp_path: Path):
    """safetensors writes several metadata entries in an order that differs between processes."""
    program = (
        "import sys, torch; from reflash.models.weights import save_weights\n"
        "save_weights(sys.argv[1], {'b': torch.ones(2), 'a': torch.zeros(3)},"
        "{k: k for k in 'abcdefghij'})"
    )
    paths = [tmp_path / f"{n}.safetensors" for n in range(3)]
    for path in paths[:2]:
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    metadata = {key: key for key in "jihgfedcba"}
    save_weights(paths[2], {"a": torch.zeros(3), "b": torch.ones(2)}, metadata)
    assert paths[0].read_bytes() == paths[1].read_bytes() == paths[2].read_bytes()


def test_half_precision_storage(tmp_path: Path):
    whole, half = tmp_path / "w.safetensors", tmp_path / "h.safetensors"
    save_weights(whole, weights(), {})
    save_weights(half, weights(), {}, half=True)
    state_dict, _ = load_weights(half)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    for key, weight in weights().items():
        assert state_dict[key].dtype == torch.float32
        assert torch.equal(state_dict[key], weight.half().float())
    with pytest.raises(ReflashError) as caught:
        save_weights(half, {"w": torch.tensor([1e6])}, {}, half=True)
    assert "w is too large for 16 bits" in one_line(caught, half)
    assert torch.equal(load_weights(half)[0]["conv_first.bias"], state_dict["conv_first.bias"])


def test_layout_in_memory_does_not_matter(tmp_path: Path):
    shared = torch.rand(4, 4)
    state = {
        "a": shared,
        "b": shared.t(),
        "c": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "d": torch.nn.Parameter(torch.rand(2)),
    }
    save_weights(tmp_path / "w.safetensors", state, {})
    state_dict, _ = load_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(state_dict[key], state[key]) for key in state)


@pytest.mark.parametrize(
    "settings",
    [
        SRRESNET,
        RRDB,
        SRRESNET.model_copy(update={"scale": 2}),
        SRResNetSettings(features=4, scale=3),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_a_foreign_file_is_recognised_by_its_keys_and_shapes(tmp_path: Path, settings, wrapper):
    path = tmp_path / "foreign.pth"
    torch.save({f"{wrapper}{key}": w for key, w in weights(settings).items()}, path)
    network = load_network(path)
    assert network.settings == settings
    assert same(network.state_dict(), weights(settings))
    assert load_weights(path)[1] == {"network": settings.model_dump()}


def test_params_and_params_ema(tmp_path: Path):
    path = tmp_path / "both.pth"
    torch.save({"params_ema": weights(seed=1), "params": weights(seed=2)}, path)
    assert same(load_weights(path)[0], weights(seed=2))
    assert load_weights(path)[1]["which"] == "params"
    assert same(load_weights(path, "params_ema")[0], weights(seed=1))
    assert load_weights(path, "params_ema")[1]["which"] == "params_ema"
    only_ema = tmp_path / "ema.pth"
    torch.save({"params_ema": weights(seed=1)}, only_ema)
    assert same(load_weights(only_ema)[0], weights(seed=1))


def test_a_key_that_is_not_there(tmp_path: Path):
    raw, bare, own = (tmp_path / name for name in ("raw.pth", "bare.pth", "own.safetensors"))
    torch.save({"params": weights()}, raw)
    torch.save(weights(), bare)
    saved(own)
    for path, says in (
        (raw, "has no 'params_ema'; it holds params; leave --key out"),
        (bare, "has no 'params_ema'; it holds a bare state dict; leave --key out"),
        (own, "has no 'params_ema'; it holds params; leave --key out"),
    ):
        with pytest.raises(ReflashError) as caught:
            load_weights(path, "params_ema")
        assert says in one_line(caught, path)


def test_the_authors_layout_is_read(tmp_path: Path):
    path = tmp_path / "authors.pth"
    torch.save({"params": authors_keys(weights())}, path)
    assert "body3.0.conv2.bias" in torch.load(path)["params"]
    assert same(load_network(path).state_dict(), weights())


def test_the_authors_layout_of_partial_dropout_is_read(tmp_path: Path):
    """Their last-quarter class keeps twelve blocks in body1 and four in body2."""
    state = weights(SRResNetSettings(features=4))
    theirs = {}
    for key, weight in state.items():
        if key.startswith("body."):
            _, n, rest = key.split(".", 2)
            key = f"body1.{n}.{rest}" if int(n) < 12 else f"body2.{int(n) - 12}.{rest}"
        theirs[key] = weight
    path = tmp_path / "quarter.pth"
    torch.save({"params": theirs}, path)
    assert same(load_network(path).state_dict(), state)


@pytest.mark.parametrize("which", ["params", "params_ema"])
@pytest.mark.parametrize("layout", ["basicsr", "authors"])
def test_conversion_there_and_back(tmp_path: Path, which, layout):
    source, middle, back = (tmp_path / n for n in ("a.pth", "b.safetensors", "c.pth"))
    theirs = authors_keys(weights(seed=1)) if layout == "authors" else weights(seed=1)
    other = {"params": "params_ema", "params_ema": "params"}[which]
    torch.save({which: theirs, other: weights(seed=9)}, source)
    convert(source, middle, key=which)
    assert load_network(middle).settings == SRRESNET
    assert load_weights(middle)[1]["which"] == which
    convert(middle, back, layout=layout)
    content = torch.load(back, weights_only=True)
    assert list(content) == [which]
    assert set(content[which]) == set(theirs)
    assert all(torch.equal(content[which][key], theirs[key]) for key in theirs)


def test_conversion_of_rrdb_keeps_its_keys_in_either_layout(tmp_path: Path):
    source, target = saved(tmp_path / "a.safetensors", RRDB), tmp_path / "b.pth"
    convert(source, target, layout="authors")
    assert same(torch.load(target, weights_only=True)["params"], weights(RRDB))


def test_conversion_keeps_what_a_file_says_of_itself(tmp_path: Path):
    dropout = "last_conv-channel-p0.7"
    source = saved(tmp_path / "a.safetensors", dropout=dropout, run="x/y", iteration=5)
    convert(source, tmp_path / "b.safetensors", half=True)
    assert load_weights(tmp_path / "b.safetensors")[1] == load_weights(source)[1]
    with safe_open(tmp_path / "b.safetensors", framework="pt") as file:
        assert file.get_tensor("conv_first.weight").dtype == torch.float16
        assert json.loads(file.metadata()["reflash"])["run"] == "x/y"


def test_what_keys_cannot_show_can_be_said(tmp_path: Path):
    plain = SRRESNET.model_copy(update={"global_residual": False})
    source, target = tmp_path / "a.pth", tmp_path / "b.safetensors"
    torch.save(weights(), source)
    assert load_network(source).settings.global_residual
    assert not load_network(source, network=plain).settings.global_residual
    convert(source, target, network=plain)
    assert not load_network(target).settings.global_residual


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("w.onnx", {}, "unknown format; name it .safetensors or .pth"),
        ("w.safetensors", {"layout": "authors"}, "exists for .pth only"),
        ("w.pth", {"half": True}, "exist for .safetensors only"),
    ],
)
def test_conversion_to_what_does_not_exist(tmp_path: Path, target: str, options, says: str):
    source = saved(tmp_path / "a.safetensors")
    with pytest.raises(ReflashError) as caught:
        convert(source, tmp_path / target, **options)
    assert says in one_line(caught, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


class Exploit:
    """Runs code when it is unpickled by a loader that allows it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("kind", ["inside a checkpoint", "bare pickle", "whole model"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path: Path, kind: str):
    path, marker = tmp_path / "evil.pth", tmp_path / "ran"
    if kind == "inside a checkpoint":
        torch.save({"params": weights(), "extra": Exploit(marker)}, path)
    elif kind == "bare pickle":
        path.write_bytes(pickle.dumps(Exploit(marker)))
    else:
        torch.save(build_network(SRRESNET), path)
    with pytest.raises(ReflashError) as caught:
        load_network(path)
    assert "loading it could run code" in one_line(caught, path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", "-legacy.pth"])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.999])
def test_a_file_cut_short(tmp_path: Path, suffix: str, fraction: float):
    path = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        saved(path)
    else:
        torch.save(weights(), path, _use_new_zipfile_serialization=suffix == ".pth")
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ReflashError) as caught:
        load_weights(path)
    message = one_line(caught, path)
    assert any(s in message for s in ("cut short", "not a whole safetensors", "the file is empty"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".png"])
def test_a_file_that_holds_something_else(tmp_path: Path, suffix: str):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4)
    with pytest.raises(ReflashError) as caught:
        load_network(path)
    message = one_line(caught, path)
    assert any(s in message for s in ("not a PyTorch or safetensors file", "not a whole safe"))


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(ReflashError, match=r"no such file; give the path of a \.safetensors"):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"epoch": 1, "iter": 2}, "holds no weights but epoch, iter"),
        ({"params": {}}, "holds no weights but nothing"),
        ([torch.ones(2)], "holds no weights but no dict"),
        ({1: torch.ones(2)}, "holds no weights but 1"),
    ],
)
def test_a_pytorch_file_without_weights(tmp_path: Path, content, says: str):
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(ReflashError) as caught:
        load_weights(path)
    assert says in one_line(caught, path)


def test_weights_of_another_architecture(tmp_path: Path):
    path = tmp_path / "w.pth"
    torch.save({"layer.weight": torch.ones(2, 3), "layer.bias": torch.ones(2)}, path)
    for read in (load_network, lambda path: convert(path, tmp_path / "x.safetensors")):
        with pytest.raises(ReflashError) as caught:
            read(path)
        assert "another architecture (layer.weight 2 x 3, layer.bias 2 ...)" in one_line(
            caught, path
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conv_hr.bias": None}, "conv_hr.bias is missing"),
        ({"attention.weight": torch.ones(2)}, "attention.weight is not in the network"),
        (
            {"conv_last.weight": torch.ones(1, 6, 3, 3)},
            "conv_last.weight has shape 1 x 6 x 3 x 3 but the network needs 3 x 6 x 3 x 3",
        ),
    ],
)
@pytest.mark.parametrize("foreign", [True, False])
def test_the_first_difference_is_named(tmp_path: Path, change, says: str, foreign: bool):
    state = {key: w for key, w in {**weights(), **change}.items() if w is not None}
    path = tmp_path / ("w.pth" if foreign else "w.safetensors")
    if foreign:
        torch.save(state, path)
    else:
        save_weights(path, state, {"network": SRRESNET})
    with pytest.raises(ReflashError) as caught:
        load_network(path)
    message = one_line(caught, path)
    assert f"another architecture than srresnet with 6 features and 3 blocks: {says}" in message


def test_a_description_from_another_version(tmp_path: Path):
    for metadata in ({"network": {"name": "swinir"}}, {"dropout": "b99-channel-p0.1"}):
        path = tmp_path / "w.safetensors"
        save_weights(path, weights(), metadata)
        with pytest.raises(ReflashError) as caught:
            load_network(path)
        assert "its description of the network is not understood" in one_line(caught, path)


def test_safetensors_of_others_have_no_description(tmp_path: Path):
    save_file(weights(), tmp_path / "w.safetensors")
    assert same(
        {key: load_network(tmp_path / "w.safetensors").state_dict()[key] for key in weights()},
        weights(),
    )


def test_own_weights_are_named_safetensors(tmp_path: Path):
    with pytest.raises(ReflashError, match=r"weights are written as \.safetensors"):
        save_weights(tmp_path / "w.pth", weights(), {})
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_converted_onto_itself(tmp_path):
    source, link = tmp_path / "a.safetensors", tmp_path / "link.safetensors"
    save_weights(source, {"weight": torch.zeros(1)}, {})
    link.symlink_to(source)
    before = source.read_bytes()
    for target in (source, link):
        with pytest.raises(ReflashError, match="would replace the file it is made from"):
            convert(source, target)
    assert source.read_bytes() == before
