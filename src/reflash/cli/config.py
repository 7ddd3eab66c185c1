"""Checking and documenting the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reflash.cli.common import CONFIG, ConfigFolder, Overrides, examples, make_app

config_app = make_app("Check and document the configuration.")


@config_app.command("check", epilog=examples("reflash config check"))
def config_check(
    config: Annotated[Path, typer.Argument(help="The config.yaml to check.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Check the configuration and show what it would make."""
    from reflash.study.checks import load_plan_file

    plan = load_plan_file(config)
    for model in plan.models:
        for run in plan.runs(model):
            typer.echo(f"run     {run}")
    for kind in ("tables", "figures"):
        for name in plan.artefacts(kind):
            typer.echo(f"{kind[:-1]:7} {name}")


@config_app.command(
    "run",
    epilog=examples(
        "reflash config run srresnet/multi/last_conv-channel-p0.7 --scale demo > run.json"
    ),
)
def config_run(
    model: Annotated[str, typer.Argument(help="Model, network/setting/dropout.")],
    scale: Annotated[str, typer.Option(help="Scale that decides the rest.")] = "demo",
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    overrides: Overrides = "{}",
    folder: ConfigFolder = CONFIG,
) -> None:
    """Print every setting of one run as JSON, to change and give to `reflash train --config`."""
    from reflash.study.checks import load_plan
    from reflash.study.reading import parse_yaml

    values = {"scale": scale, "overrides": parse_yaml(overrides, "--overrides")}
    settings = load_plan(values, folder).run_settings(f"{model}/seed{seed}")
    typer.echo(settings.model_dump_json(indent=2))


@config_app.command("schema", epilog=examples("reflash config schema > config/schema.json"))
def config_schema() -> None:
    """Print the JSON schema of the configuration (config/schema.json)."""
    import json

    from reflash.study.documents import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, sort_keys=True))


@config_app.command(
    "save", epilog=examples("reflash config save --values '{scale: demo, study: main}'")
)
def config_save(
    values: Annotated[
        str,
        typer.Option(
            help="YAML file, or YAML text starting with {; keys: study, scale, overrides and the "
            "others of config.yaml (config/README.md)."
        ),
    ],
    folder: ConfigFolder = CONFIG,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: config.json of the results.")
    ] = None,
) -> None:
    """Save the resolved configuration beside the results, for the commands that read these."""
    from reflash.study.checks import load_plan
    from reflash.study.reading import parse_yaml, read_yaml
    from reflash.study.saved import save_config

    inside = values.lstrip().startswith("{")
    given = parse_yaml(values, "--values") if inside else read_yaml(Path(values))
    typer.echo(save_config(load_plan(given, folder), out))


@config_app.command("readme", epilog=examples("reflash config readme > config/README.md"))
def config_readme() -> None:
    """Print every key of the configuration as Markdown (config/README.md)."""
    from reflash.study.documents import readme

    typer.echo(readme(), nl=False)
