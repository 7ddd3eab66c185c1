# Names and paths that the rules share. What exists is decided by reflash.study, not here.
import json
import os
import sys
from pathlib import Path
from shlex import quote

from reflash.config import load
from reflash.errors import ReflashError
from reflash.imports import module_files
from reflash.study import Plan

try:
    PLAN = Plan(load(config))
    if PLAN.config.weights == "published":
        PLAN.check_published(f"results/{PLAN.resolved.scale_name}/runs")
except ReflashError as error:
    sys.exit(f"error: {error}")

SCALE = PLAN.resolved.scale_name
DATA = f"data/{SCALE}"
RUNS = f"results/{SCALE}/runs"
LOGS = f"results/{SCALE}/logs"
BENCHMARKS = f"results/{SCALE}/benchmarks"
TABLE = f"results/{PLAN.name}/tables/{{name}}"
FIGURE = f"figures/{PLAN.name}/{{name}}"
TABLES = expand(f"{TABLE}.csv", name=PLAN.artefacts("tables"))
FIGURES = expand(f"{FIGURE}.pdf", name=PLAN.artefacts("figures"))
REPORT = f"results/{PLAN.name}/report/index.html"
METRICS = f"results/{PLAN.name}/metrics.json"
GPUS = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))

# `reflash` of the environment that runs Snakemake, also where that is not activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
if PLAN.config.mirror is not None:
    os.environ["REFLASH_MIRROR"] = PLAN.config.mirror
if PLAN.config.accept_terms:
    os.environ["REFLASH_ACCEPT_TERMS"] = "1"


wildcard_constraints:
    run=r"bicubic|[^/]+/(single|multi)/[^/]+/seed\d+",
    set=r"[^/]+",
    kind=r"[a-z_]+",
    setting=r"single|multi",
    name=r"[A-Za-z0-9_]+",


def code(*modules):
    """Files that a stage imports: a change to one of them reruns the stage."""
    here = Path.cwd()
    return [
        str(f.relative_to(here) if f.is_relative_to(here) else f)
        for f in module_files(*modules)
    ]


def text(settings):
    """Settings as the JSON text that a command takes."""
    values = (
        settings if isinstance(settings, dict) else settings.model_dump(mode="json")
    )
    return json.dumps(values, sort_keys=True)
