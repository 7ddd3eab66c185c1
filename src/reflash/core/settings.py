"""The base of every settings model, and the scale factor that all stages share."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator

SCALE = 4
"""Factor of the study: HR sides over LR sides."""


class Settings(BaseModel):
    """A frozen pydantic model that rejects keys it does not know, infinity, NaN and true as 1.

    Each stage of the pipeline keeps its own settings model beside its code, so that a change to
    one stage's settings leaves the code of the others untouched; ``reflash.study.config``
    composes them.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            mapping = get_origin(field.annotation) is dict
            if _holds_truth(values.get(name), mapping) and not _allows_truth(field.annotation):
                raise ValueError(f"{name}: must not be true or false")
        return values


def _holds_truth(value: Any, within_mappings: bool) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(item, bool) for item in value)
    if within_mappings and isinstance(value, dict):
        return any(isinstance(item, bool) for item in value.values())
    return isinstance(value, bool)


def _allows_truth(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_allows_truth, get_args(annotation)))
