"""Checking and documenting the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import (
    make_app,
)

config_app = make_app("Check and document the configuration.")


@config_app.command("check")
def config_check(
    config: Annotated[Path, typer.Argument(help="The config.yaml to check.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Check the configuration and show what it would make."""
    from reflash.study.plan import load_plan

    plan = load_plan(config)
    for model in plan.models:
        for run in plan.runs(model):
            typer.echo(f"run     {run}")
    for kind in ("tables", "figures"):
        for name in plan.artefacts(kind):
            typer.echo(f"{kind[:-1]:7} {name}")


@config_app.command("run")
def config_run(
    model: Annotated[str, typer.Argument(help="Model, network/setting/dropout.")],
    scale: Annotated[str, typer.Option(help="Scale that decides the rest.")] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    overrides: Annotated[
        str, typer.Option(help="YAML: keys of the scale to replace, as the workflow's overrides.")
    ] = "{}",
    folder: Annotated[Path, typer.Option(help="Folder of study/ and scale/.")] = Path("config"),
) -> None:
    """Print every setting of one run as JSON, to change and give to `reflash train --config`."""
    from reflash.study.config import load, parse_yaml
    from reflash.study.plan import Plan

    values = {"scale": scale, "overrides": parse_yaml(overrides, "--overrides")}
    settings = Plan(load(values, folder)).run_settings(f"{model}/seed{seed}")
    typer.echo(settings.model_dump_json(indent=2))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration (config/schema.json)."""
    import json

    from reflash.study.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True))


@config_app.command("dvc")
def config_dvc(
    folder: Annotated[Path, typer.Option(help="Folder of study/ and scale/.")] = Path("config"),
) -> None:
    """Print dvc.yaml: what is stored of every scale."""
    from reflash.study.config import load
    from reflash.study.plan import Plan
    from reflash.study.store import STORED_SCALES, dvc_yaml

    plans = {scale: Plan(load({"scale": scale}, folder)) for scale in STORED_SCALES}
    seeds = {scale: plan.scale.seeds for scale, plan in plans.items()}
    typer.echo(dvc_yaml(list(plans["paper"].models), seeds), nl=False)


@config_app.command("readme")
def config_readme() -> None:
    """Print every key of the configuration as Markdown (config/README.md)."""
    from reflash.study.config import readme

    typer.echo(readme(), nl=False)
