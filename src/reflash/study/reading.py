"""Reading YAML and checking it against settings: every mistake is one line with file and key."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from reflash.core.errors import ReflashError

TAGS = ("source", "kind", "name")
"""Keys that choose which form a mapping has, where it may have several."""

_SHORT = reprlib.Repr()  # of a value that a message shows, which aliases can make huge
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 200, 200


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or mapping is no key", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """Parse ``text`` as one YAML mapping; errors name ``name`` and the line."""
    try:
        value = yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ReflashError(f"{name}{where}: {problem}; fix the YAML syntax") from error
    except RecursionError as error:
        raise ReflashError(f"{name}: nested too deeply; fix the YAML syntax") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ReflashError(f"{name}: expected keys and values, not {type(value).__name__}")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping from ``path``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        others = sorted(p.stem for p in path.parent.glob("*.yaml"))
        have = f"; there are: {', '.join(others)}" if others else ""
        raise ReflashError(f"{path}: no such file{have}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReflashError(f"{path}: cannot be read as text ({error}); fix the file") from error
    return parse_yaml(text, str(path))


def validate(model: Any, values: Mapping[str, Any], name: str) -> Any:
    """Return ``values`` as ``model``; the first mistake becomes one line naming ``name`` and key.

    ``model`` is a settings model or a union of several, told apart by one of their keys.
    """
    adapter = TypeAdapter(model)
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ReflashError(_explain(adapter, error, name)) from error


def _explain(adapter: Any, error: ValidationError, name: str) -> str:
    first, *rest = error.errors()
    key = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if not key and first["type"] != "value_error":
        key = "(whole file)"
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        known = _known_keys(adapter.json_schema(), first["loc"][:-1])
        near = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        line = f"{name}: {key}: unknown key; {hint}"
    elif first["type"] == "missing":
        line = f"{name}: {key}: missing; add it (config/README.md lists every key)"
    else:
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":  # whose words are ours, and may begin with a name
            message = message[:1].lower() + message[1:]
        given = first["input"]
        shown = "" if isinstance(given, dict | BaseModel) else f", not {_SHORT.repr(given)}"
        shown = shown if first["type"] != "value_error" else ""
        line = ": ".join(part for part in (name, key, message + shown) if part)
        if ";" not in line:
            line += "; see config/README.md"
    return line + (f" (and {len(rest)} more)" if rest else "")


def _known_keys(schema: dict[str, Any], path: tuple[int | str, ...]) -> list[str]:
    """Names of the keys allowed at ``path`` (empty where it cannot be told)."""
    node: dict[str, Any] = schema
    for part in path:
        options = [dereference(schema, option) for option in alternatives(schema, node)]
        tagged = [o for o in options if part == tag_of(o)[1]]
        if tagged:
            node = tagged[0]
            continue
        children = [
            child
            for o in options
            for child in (
                o.get("properties", {}).get(str(part)),
                *o.get("patternProperties", {}).values(),
                o.get("additionalProperties"),
            )
        ]
        found = [child for child in children if isinstance(child, dict)]
        if not found:
            return []
        node = found[0]
    names: list[str] = []
    for option in alternatives(schema, node):
        names += dereference(schema, option).get("properties", {})
    return names


def dereference(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow the references of a node of a JSON schema."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node


def alternatives(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the forms a node of a JSON schema may take."""
    node = dereference(schema, node)
    options = node.get("anyOf") or node.get("oneOf")
    return [dereference(schema, o) for o in options] if options else [node]


def tag_of(node: dict[str, Any]) -> tuple[str, str]:
    """Return the key, one of ``TAGS``, and the value that choose a form; empty where none do."""
    fields = node.get("properties", {})
    return next(
        ((name, fields[name]["const"]) for name in TAGS if "const" in fields.get(name, {})),
        ("", ""),
    )
