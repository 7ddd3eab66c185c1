"""Both networks written a second time, straight down, on nothing but a state dict.

``drop(site, x)`` is called at every place where dropout can act: ``("block", n, 1 | 2 | 3)`` inside
a residual block, ``("after", n)`` behind block n, ``"hr"`` and ``"last"``.
"""

from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, leaky_relu, pixel_shuffle

State = Mapping[str, Tensor]
Drop = Callable[[Hashable, Tensor], Tensor]


def keep(site: Hashable, x: Tensor) -> Tensor:
    return x


def count_blocks(state: State) -> int:
    return 1 + max(int(key.split(".")[1]) for key in state if key.startswith("body."))


def conv(state: State, name: str, x: Tensor) -> Tensor:
    return conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def srresnet(state: State, lr: Tensor, drop: Drop = keep) -> dict[str, Tensor]:
    """All layers by name, and ``sr``."""
    layers = {"first": leaky_relu(conv(state, "conv_first", lr), 0.1)}
    x = layers["first"]
    for n in range(1, count_blocks(state) + 1):
        y = drop(("block", n, 1), conv(state, f"body.{n - 1}.conv1", x)).clamp(min=0)
        y = drop(("block", n, 2), conv(state, f"body.{n - 1}.conv2", y))
        layers[f"b{n}"] = x = drop(("after", n), drop(("block", n, 3), x + y))
    for name in ("upconv1", "upconv2"):
        x = leaky_relu(pixel_shuffle(conv(state, name, x), 2), 0.1)
    layers["hr"] = x = drop("hr", x)
    layers["last"] = x = drop("last", leaky_relu(conv(state, "conv_hr", x), 0.1))
    up = interpolate(lr, size=[4 * n for n in lr.shape[2:]], mode="bilinear", align_corners=False)
    layers["sr"] = conv(state, "conv_last", x) + up
    return layers


def rrdb(state: State, lr: Tensor, drop: Drop = keep) -> dict[str, Tensor]:
    """All layers by name, and ``sr``."""
    layers = {"first": conv(state, "conv_first", lr)}
    x = layers["first"]
    for n in range(1, count_blocks(state) + 1):
        outer = x
        for rdb in (1, 2, 3):
            seen = x
            for k in (1, 2, 3, 4):
                y = conv(state, f"body.{n - 1}.rdb{rdb}.conv{k}", seen)
                seen = torch.cat([seen, leaky_relu(y, 0.2)], dim=1)
            x = x + 0.2 * conv(state, f"body.{n - 1}.rdb{rdb}.conv5", seen)
        layers[f"b{n}"] = x = drop(("after", n), outer + 0.2 * x)
    x = layers["first"] + conv(state, "conv_body", x)
    for name in ("conv_up1", "conv_up2"):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = leaky_relu(conv(state, name, x), 0.2)
    layers["hr"] = x = drop("hr", x)
    layers["last"] = x = drop("last", leaky_relu(conv(state, "conv_hr", x), 0.2))
    layers["sr"] = conv(state, "conv_last", x)
    return layers
