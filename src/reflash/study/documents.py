"""The configuration's own documentation: config/schema.json, config/README.md, the site's pages."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import yaml

from reflash.core.settings import Settings
from reflash.study.config import Config, Scale, Study
from reflash.study.reading import alternatives, dereference, tag_of

SCHEMAS: dict[str, type[Settings]] = {"config": Config, "study": Study, "scale": Scale}


def json_schema() -> dict[str, Any]:
    """JSON schema of the three kinds of file under config/, for editors and checks."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "reflash configuration",
        **{name: model.model_json_schema() for name, model in SCHEMAS.items()},
    }


INTRODUCTION = """# Configuration

This page is generated (`make docs`); a test keeps it in step with the code.

- `config.yaml` chooses a study, a scale and how figures look. Each of its keys can be given on the
  command line: `snakemake --cores all --config scale=hour`.
- `study/NAME.yaml` says what is compared: models, tables, figures. A study of your own needs a
  title and the names of its models; tables and figures that any study can have are made by default.
- `scale/NAME.yaml` says how big: networks, images, training, test sets. `extends: OTHER` takes
  every key that is not given from another scale; `null` removes an entry.
- `overrides` replaces keys of the scale for one invocation:
  `--config 'overrides={training: {iterations: 100}}'`.

A model is named `network/setting/dropout`. The setting is `multi` (random blur, resizing, noise and
JPEG), `single` (bicubic down-sampling alone) or another task (docs/artefacts.md). Dropout is `none`
or places joined by `+`, each `PLACE-DIMENSION-pP`: PLACE is `b1` … `b16` (in sixteenths of the
depth), `conv_hr`, `last_conv`, `quarter`, `half` or `all`; DIMENSION is `channel` or `element`; P
lies in (0, 1). Example: `srresnet/multi/last_conv-channel-p0.7`. Other regularisers:
docs/regularisers.md.
`config/schema.json` holds the same as a JSON schema for editors.
"""


def readme() -> str:
    """Return config/README.md: an introduction and every key of the three kinds of file."""
    parts = [INTRODUCTION]
    for name, model in SCHEMAS.items():
        title = "config.yaml" if name == "config" else f"{name}/*.yaml"
        rows = "\n".join(_rows(model.model_json_schema()))
        parts.append(
            f"## {title}\n\n{(model.__doc__ or '').strip()}\n\n"
            f"| key | type | default | meaning |\n|---|---|---|---|\n{rows}"
        )
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


EXAMPLES = {
    "config": """# config/config.yaml
study: mine
scale: hour
mirror: /data/sr       # named datasets are taken from here, not downloaded
accept_terms: true     # of datasets without redistribution rights
style: {font_size: 9, palette: tableau_colorblind}
""",
    "study": """# config/study/places.yaml
title: Where is dropout best?
models:
  - srresnet/multi/none
  - srresnet/multi/{b4,b8,last_conv}-channel-p0.2
labels:
  srresnet/multi/none: without dropout
tables:
  chi: null            # this table is left out
figures:
  teaser_bars: {models: ["srresnet/multi/{none,last_conv-channel-p0.2}"]}
  positions_multi: {places: [b4, b8, last_conv]}
""",
    "scale": """# config/scale/trial.yaml
extends: demo          # every key that is not given here
description: the demo with three seeds, on my photographs, with more noise
seeds: [0, 1, 2]
training: {iterations: 2000, tensorboard: true}
test_sets:
  photos: null         # the demo's own test set is left out
  holiday: {source: folder, folder: photos, recursive: true, limit: 20}
benchmark: {noise_sigma: 30}
analysis: {images: 1, crop: 24}
""",
}
"""A worked example of each kind of file; a test loads them."""

TITLES = {"config": "config.yaml", "study": "study/NAME.yaml", "scale": "scale/NAME.yaml"}


def page(kind: str) -> str:
    """Return the site's page of one kind of file: an example, then its keys, a section for each.

    Parameters
    ----------
    kind : {"config", "study", "scale"}
    """
    model = SCHEMAS[kind]
    parts = [
        f"# {TITLES[kind]}\n\n{(model.__doc__ or '').strip()}",
        f"## Example\n\n```yaml\n{EXAMPLES[kind]}```",
    ]
    header = "| key | type | default | meaning |\n|---|---|---|---|\n"
    sections = {
        key: list(rows)
        for key, rows in groupby(_rows(model.model_json_schema()), key=_top_level_key)
    }
    single = [rows[0] for rows in sections.values() if len(rows) == 1]
    if single:
        parts.append("## Keys\n\n" + header + "\n".join(single))
    for key, rows in sections.items():
        if len(rows) > 1:
            parts.append(f"## {key}\n\n" + header + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _top_level_key(row: str) -> str:
    (key,) = re.findall(r"^\| `(\w+)", row)
    return str(key)


def _rows(
    schema: dict[str, Any], node: dict[str, Any] | None = None, prefix: str = "", form: str = ""
) -> list[str]:
    rows: list[str] = []
    node = dereference(schema, node if node is not None else schema)
    required = node.get("required", [])
    for name, field in node.get("properties", {}).items():
        if "const" in field:
            continue
        key = f"{prefix}{name}"
        options = [o for o in alternatives(schema, field) if o.get("type") != "null"]
        nested = [o for o in options if "properties" in o]
        mapping = field.get("additionalProperties")
        default = "required" if name in required else f"`{_show(field.get('default', {}))}`"
        text = str(field.get("description", "")).replace("\n", " ").replace("|", "\\|")
        if isinstance(mapping, dict):
            rows.append(f"| `{key}`{form} | mapping | {default} | {text} |")
            nested = [o for o in alternatives(schema, mapping) if "properties" in o]
            key += ".NAME"
        elif nested:
            rows.append(f"| `{key}`{form} | {_forms(nested)} |  | {text} |")
        else:
            rows.append(f"| `{key}`{form} | {_type(schema, options)} | {default} | {text} |")
        for option in nested:
            tag, value = tag_of(option)
            rows += _rows(schema, option, f"{key}.", f" ({tag}: {value})" if tag else "")
    return rows


def _forms(options: list[dict[str, Any]]) -> str:
    if len(options) == 1:
        return "keys below"
    return "one of " + ", ".join(f"{name}: {value}" for name, value in map(tag_of, options) if name)


def _type(schema: dict[str, Any], options: list[dict[str, Any]]) -> str:
    names = []
    for option in options:
        if "enum" in option:
            names.append(" \\| ".join(f"`{v}`" for v in option["enum"]))
        elif option.get("type") == "array":
            items = option.get("items") or {}
            inner = _type(schema, alternatives(schema, items)) if items else ""
            if not inner and option.get("prefixItems"):
                inner = _type(schema, [dereference(schema, option["prefixItems"][0])])
            names.append(f"list of {inner}")
        else:
            names.append(str(option.get("type", "any")))
    return " \\| ".join(dict.fromkeys(names))


def _show(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip().replace("|", "\\|")
