"""The base of every settings model, and the scale factor that all stages share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCALE = 4
"""Factor of the study: HR sides over LR sides."""


class Settings(BaseModel):
    """A frozen pydantic model that rejects keys it does not know, infinity and NaN.

    Each stage of the pipeline keeps its own settings model beside its code, so that a change to
    one stage's settings leaves the code of the others untouched; ``reflash.study.config``
    composes them.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
