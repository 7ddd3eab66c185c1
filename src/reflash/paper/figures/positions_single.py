"""Figure: PSNR against the position of one dropout layer, single-degradation setting."""

from __future__ import annotations

from functools import partial

from reflash.paper.figures.positions import draw_positions, gather_positions

NAME = "positions_single"

gather = partial(gather_positions, NAME, "single")
draw = draw_positions
