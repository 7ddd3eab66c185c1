"""Figure: PSNR against the position of one dropout layer, multi-degradation setting."""

from __future__ import annotations

from functools import partial

from reflash.paper.figures.positions import draw_positions, gather_positions

NAME = "positions_multi"

gather = partial(gather_positions, NAME, "multi")
draw = draw_positions
