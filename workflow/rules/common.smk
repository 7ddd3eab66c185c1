# Names and paths that the rules share. What exists is decided by reflash.study.plan, not here.
import sys
from pathlib import Path
from shlex import quote

from reflash.study.config import load
from reflash.core.errors import ReflashError
from reflash.study.plan import Plan
from reflash.study.workflow import code, prepare_environment, text

try:
    PLAN = Plan(load(config))
    if PLAN.config.weights == "published":
        PLAN.check_published(f"results/{PLAN.resolved.scale_name}/runs")
    else:
        scale = PLAN.resolved.scale_name
        PLAN.check_datasets(f"data/{scale}", f"results/{scale}/runs")
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
PER_RUN = {
    "logs": "log.csv",
    "saliency": "analysis/saliency.csv",
    "concentration": "analysis/concentration.csv",
    "ablation": "analysis/ablation.csv",
    "masking": "analysis/masking.csv",
    "masking_area": "analysis/masking_area.csv",
    "points": "analysis/points.csv",
    "chi": "analysis/chi.csv",
    "sensitivity": "analysis/sensitivity.csv",
}
CLAIMS = f"results/{PLAN.name}/claims.json"
COST = "benchmarks/results/cost.csv"

prepare_environment(PLAN.config)


wildcard_constraints:
    run=r"bicubic|[^/]+/(single|multi)/[^/]+/seed\d+",
    set=r"[^/]+",
    kind=r"[a-z_]+",
    setting=r"single|multi",
    name=r"[A-Za-z0-9_]+",


def evaluated_weights(wildcards):
    """Weights file of a run; the bicubic baseline has none."""
    if wildcards.run == "bicubic":
        return []
    return f"{RUNS}/{wildcards.run}/{PLAN.scale.evaluation.weights}.safetensors"


def input_files(need, kind, name):
    """Files behind an input that a table, figure or the claims ask for."""
    settings = PLAN.artefacts(kind)[name]
    shown = PLAN.shown_set(kind, name)
    one_seed = [
        f"{model}/seed{PLAN.scale.seeds[0]}"
        for model in PLAN.shown_models(kind, name, need)
    ]
    runs = PLAN.shown_runs(kind, name, need)
    if need == "evaluations":
        sets = [shown] if shown else PLAN.test_sets
        return expand(
            f"{RUNS}/{{run}}/evaluation/{{set}}.csv", run=["bicubic", *runs], set=sets
        )
    if need in PER_RUN:
        return [f"{RUNS}/{run}/{PER_RUN[need]}" for run in runs]
    if need in ("maps", "features"):
        return [f"{RUNS}/{run}/analysis/saliency.csv" for run in one_seed]
    if need == "sr":
        part = "real" if name == "real_world" else f"examples/{shown}/{settings.kind}"
        return [f"{RUNS}/{run}/{part}/manifest.csv" for run in ["bicubic", *one_seed]]
    single = {
        "hr": f"{DATA}/test/{shown}/hr/manifest.csv",
        "lr": f"{DATA}/test/{shown}/{getattr(settings, 'kind', 'clean')}/manifest.csv",
        "real": f"{DATA}/real/manifest.csv",
        "cost": COST,
        "claims": CLAIMS,
    }
    return [single[need]] if need in single else []


def named_inputs(kind, name, needs):
    """Input files by need."""
    return {need: input_files(need, kind, name) for need in needs if need != "network"}


def options(kind, name, needs, input):
    """Options of `reflash` that name the input files."""
    words = []
    for need in needs:
        option = f"--{PLAN.option(need)}"
        if need == "network":
            network = PLAN.scale.networks[PLAN.artefacts(kind)[name].network]
            words.append(f"{option} {quote(text(network))}")
            continue
        for file in [input[need]] if isinstance(input[need], str) else input[need]:
            folder = {"maps": "maps", "features": "features"}.get(need)
            if folder:
                file = Path(file).parent / folder
            elif need in ("hr", "lr", "sr", "real"):
                file = Path(file).parent
            words.append(f"{option} {file}")
    return words


def inputs_of(kind):
    """Input function of the rule that makes artefacts of a kind."""
    return lambda wildcards: named_inputs(
        kind, wildcards.name, PLAN.artefacts(kind)[wildcards.name].inputs
    )


def options_of(kind):
    """Params function of the rule that makes artefacts of a kind."""
    return lambda wildcards, input: options(
        kind, wildcards.name, PLAN.artefacts(kind)[wildcards.name].inputs, input
    )
