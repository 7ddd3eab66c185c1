"""The base of every settings model, and the scale factor that all stages share."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

SCALE = 4
"""Factor of the study: HR sides over LR sides."""


class Settings(BaseModel):
    """A frozen pydantic model that rejects keys it does not know, infinity, NaN and true as 1.

    Each stage of the pipeline keeps its own settings model beside its code, so that a change to
    one stage's settings leaves the code of the others untouched; ``reflash.study.config``
    composes them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the keys by their docstrings, read when asked for.

        Pydantic can read them itself, with every import: a third of a second of every command.
        """
        schema = handler(core)
        keys = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in _attribute_docstrings(cls).items():
            if name in keys:
                keys[name].setdefault("description", text)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            mapping = get_origin(field.annotation) is dict
            if _holds_truth(values.get(name), mapping) and not _allows_truth(field.annotation):
                raise ValueError(f"{name}: must not be true or false")
        return values


@functools.cache
def _attribute_docstrings(model: type) -> dict[str, str]:
    """Return the texts that stand below the attributes of a class and of those it extends."""
    texts: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if not (issubclass(part, Settings) and part is not Settings):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        body = cast(ast.ClassDef, tree).body
        for attribute, below in itertools.pairwise(body):
            if isinstance(attribute, ast.AnnAssign) and isinstance(below, ast.Expr):
                text = ast.literal_eval(below.value)
                texts[ast.unparse(attribute.target)] = inspect.cleandoc(text)
    return texts


def _holds_truth(value: Any, within_mappings: bool) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(item, bool) for item in value)
    if within_mappings and isinstance(value, dict):
        return any(isinstance(item, bool) for item in value.values())
    return isinstance(value, bool)


def _allows_truth(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_allows_truth, get_args(annotation)))
