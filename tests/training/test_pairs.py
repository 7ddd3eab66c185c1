from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_run import run_settings

from reflash.core.errors import ReflashError
from reflash.datasets.cache import ImageCache
from reflash.degradations.fast import second_order
from reflash.training.pairs import OnlinePairs, PoolPairs
from reflash.training.pool import build_pool
from reflash.training.settings import PairSettings, PoolSettings, RunSettings
from reflash.training.synthesis import make_pairs
from reflash.training.windows import WindowSampler, to_tensor

CPU = torch.device("cpu")


def pool_settings(**changes: object) -> PoolSettings:
    values: dict[str, object] = {
        "setting": "multi",
        "pairs": {"synthesis": "pool", "window": 96, "patch": 32, "crops": 2, "count": 21},
        "degradation": {},
    }
    return PoolSettings.model_validate(values | changes)


def test_windows_are_crops_of_the_images_flipped_half_the_time(cache: ImageCache) -> None:
    settings = PairSettings(window=64, patch=32)
    sampler = WindowSampler(cache, settings, None, 240)
    flipped = plain = 0
    for iteration in range(60):
        (window,) = sampler.windows(1, iteration)
        found = {
            flip
            for flip, candidate in ((False, window), (True, window[:, ::-1]))
            for i in range(len(cache))
            if _contains(cache.image(i), candidate)
        }
        assert found
        flipped += found == {True}
        plain += found == {False}
    assert flipped + plain == 60
    assert 18 <= flipped <= 42  # binomial(60, 1/2): outside with probability 0.002


def _contains(image: np.ndarray, window: np.ndarray) -> bool:
    h, w = window.shape[:2]
    corner = (image[: image.shape[0] - h + 1, : image.shape[1] - w + 1] == window[0, 0]).all(-1)
    return any(
        np.array_equal(image[y : y + h, x : x + w], window)
        for y, x in zip(*np.nonzero(corner), strict=True)
    )


def test_without_flips_windows_are_never_mirrored(cache: ImageCache) -> None:
    sampler = WindowSampler(cache, PairSettings(window=64, patch=32, flips="none"), None, 240)
    for window in sampler.windows(10, "x"):
        assert any(_contains(cache.image(i), window) for i in range(len(cache)))


def test_patches_are_aligned_crops_of_the_degraded_window(cache: ImageCache) -> None:
    settings = PairSettings(window=96, patch=32, crops=3)
    windows = to_tensor(WindowSampler(cache, settings, None, 240).windows(4, 0))
    degradation = run_settings().degradation
    lr, hr = make_pairs(windows, "multi", settings, degradation, 5, 1)
    whole_lr, whole_hr = second_order(windows, degradation, (5, 1))
    assert lr.shape == (12, 3, 8, 8)
    assert hr.shape == (12, 3, 32, 32)
    for i in range(12):
        places = [
            (y, x)
            for y in range(17)
            for x in range(17)
            if torch.equal(whole_lr[i // 3, :, y : y + 8, x : x + 8], lr[i])
        ]
        assert places
        assert any(
            torch.equal(whole_hr[i // 3, :, 4 * y : 4 * y + 32, 4 * x : 4 * x + 32], hr[i])
            for y, x in places
        )


def test_single_setting_is_bicubic_of_the_untouched_window(cache: ImageCache) -> None:
    settings = PairSettings(window=64, patch=64)
    windows = to_tensor(WindowSampler(cache, settings, None, 240).windows(2, 0))
    lr, hr = make_pairs(windows, "single", settings, run_settings().degradation, 0)
    assert torch.equal(hr, windows)
    # PIL's antialiased bicubic differs at borders and by its 8-bit passes only.
    from PIL import Image

    for sr, window in zip(lr, windows, strict=True):
        image = Image.fromarray((window * 255).byte().permute(1, 2, 0).numpy())
        expected = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC), np.float32)
        ours = (sr * 255).permute(1, 2, 0).numpy()
        assert np.abs(ours - expected)[2:-2, 2:-2].max() <= 1.01


def test_a_batch_depends_on_seed_and_iteration_alone(cache: ImageCache) -> None:
    settings = run_settings(pairs={"window": 96, "patch": 32, "shuffle_pool": 0})
    one, two = (OnlinePairs(settings, cache, CPU) for _ in range(2))
    for iteration in (0, 1, 2):
        one.batch(iteration)
    for a, b in zip(one.batch(3), two.batch(3), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.batch(3)[0], one.batch(4)[0])
    other = OnlinePairs(settings.model_copy(update={"seed": 1}), cache, CPU)
    assert not torch.equal(one.batch(3)[0], other.batch(3)[0])


def test_the_queue_returns_every_pair_once_and_mixes_iterations(cache: ImageCache) -> None:
    shuffled = OnlinePairs(run_settings(), cache, CPU)
    plain = OnlinePairs(
        run_settings(pairs={"window": 96, "patch": 32, "shuffle_pool": 0}), cache, CPU
    )
    made = {p.numpy().tobytes() for t in range(30) for p in plain.batch(t)[0]}
    got = [p.numpy().tobytes() for t in range(30) for p in shuffled.batch(t)[0]]
    assert set(got) <= made
    first_two = got[:8]  # the queue of 8 fills with the first two batches, which pass through
    assert first_two == [p.numpy().tobytes() for t in range(2) for p in plain.batch(t)[0]]
    later = got[8:]
    assert len(set(later)) == len(later)  # afterwards each pair leaves the queue once
    third = {p.numpy().tobytes() for p in plain.batch(2)[0]}
    assert third & set(got[12:])  # a pair of iteration 2 comes out later than iteration 2


def test_queue_state_continues_bit_by_bit(cache: ImageCache) -> None:
    whole = OnlinePairs(run_settings(), cache, CPU)
    for t in range(5):
        whole.batch(t)
    resumed = OnlinePairs(run_settings(), cache, CPU)
    resumed.load_state_dict(whole.state_dict())
    for t in (5, 6):
        for a, b in zip(whole.batch(t), resumed.batch(t), strict=True):
            assert torch.equal(a, b)


def test_pool_holds_the_synthesised_pairs(cache: ImageCache, tmp_path: Path) -> None:
    settings = pool_settings()
    build_pool(settings, cache, tmp_path, batch=4)
    sampler = WindowSampler(cache, settings.pairs, None, 240)
    windows = to_tensor(sampler.windows(4, 0, "pool", 0))
    lr, hr = make_pairs(windows, "multi", settings.pairs, settings.degradation, 0, "pool", 0)
    pool = PoolPairs(tmp_path, 7, 0, CPU)
    assert torch.equal(to_tensor(pool.lr[:8]), lr)  # LR is on the 8-bit grid already
    assert (to_tensor(pool.hr[:8]) - hr).abs().max() <= 0.5 / 255 + 1e-6
    rows = [tuple(row) for t in range(3) for row in pool.batch(t)[1].flatten(1).numpy()]
    assert sorted(rows) == sorted(tuple(r) for r in to_tensor(pool.hr).flatten(1).numpy())


def test_pool_orders_differ_by_epoch_and_seed(cache: ImageCache, tmp_path: Path) -> None:
    build_pool(pool_settings(), cache, tmp_path)
    pool, again, other = (PoolPairs(tmp_path, 21, seed, CPU) for seed in (0, 0, 1))
    first, second = pool.batch(0)[0], pool.batch(1)[0]
    assert not torch.equal(first, second)
    assert torch.equal(again.batch(1)[0], second)
    assert not torch.equal(other.batch(0)[0], first)


def test_same_settings_same_bytes(cache: ImageCache, tmp_path: Path) -> None:
    for name in "ab":
        build_pool(pool_settings(), cache, tmp_path / name)
    for file in ("lr.u8", "hr.u8", "pool.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_unfinished_or_damaged_pool_is_refused(cache: ImageCache, tmp_path: Path) -> None:
    with pytest.raises(ReflashError, match=r"pool\.json: no such file"):
        PoolPairs(tmp_path, 4, 0, CPU)
    build_pool(pool_settings(), cache, tmp_path)
    (tmp_path / "hr.u8").write_bytes((tmp_path / "hr.u8").read_bytes()[:-1])
    with pytest.raises(ReflashError, match=r"hr\.u8: 64511 bytes, not 64512"):
        PoolPairs(tmp_path, 4, 0, CPU)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("setting", "single"),
        ("pairs", {"synthesis": "pool", "window": 96, "patch": 48, "crops": 2, "count": 21}),
        ("degradation", {"usm": False}),
        ("sub_image", 480),
    ],
)
def test_a_pool_of_other_pairs_is_refused(
    key: str, value: object, cache: ImageCache, tmp_path: Path
) -> None:
    settings = pool_settings()
    build_pool(settings, cache, tmp_path)
    own = {
        "id": "x",
        "network": {"name": "srresnet"},
        "dropout": "none",
        **settings.model_dump(mode="json"),
    }
    PoolPairs(tmp_path, 4, 0, CPU, RunSettings.model_validate(own))
    other = RunSettings.model_validate(own | {key: value})
    with pytest.raises(ReflashError, match=f"its pairs have another {key} than run x"):
        PoolPairs(tmp_path, 4, 0, CPU, other)
