# Tables, figures and claims of the paper, each from the files of the runs it shows.
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


rule make_table:
    input:
        unpack(inputs_of("tables")),
        code=lambda wildcards: code(
            "reflash.paper.tables.registry", f"reflash.paper.tables.{wildcards.name}"
        ),
    output:
        multiext(TABLE, ".csv", ".md", ".tex", ".json"),
    log:
        f"{LOGS}/make_table/{PLAN.name}/{{name}}.log",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: text(PLAN.artefacts("tables")[wildcards.name]),
        context=lambda wildcards: text(
            PLAN.context(PLAN.artefact_models(wildcards.name, "tables"))
        ),
        inputs=options_of("tables"),
    message:
        "Table {wildcards.name}"
    shell:
        "reflash table {wildcards.name} --context {params.context:q} --settings {params.settings:q}"
        " {params.inputs} --out {output[0]} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule make_figure:
    input:
        unpack(inputs_of("figures")),
        code=lambda wildcards: code(
            "reflash.paper.figures.make", f"reflash.paper.figures.{wildcards.name}"
        ),
    output:
        multiext(FIGURE, ".csv", ".pdf", ".png", ".json"),
    log:
        f"{LOGS}/make_figure/{PLAN.name}/{{name}}.log",
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: text(PLAN.artefacts("figures")[wildcards.name]),
        context=lambda wildcards: text(
            PLAN.context(PLAN.artefact_models(wildcards.name, "figures"))
        ),
        style=text(PLAN.config.style),
        inputs=options_of("figures"),
    message:
        "Figure {wildcards.name}"
    shell:
        "reflash figure {wildcards.name} --context {params.context:q} --settings {params.settings:q}"
        " --style {params.style:q} {params.inputs} --out {output[0]} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


if PLAN.claim_needs:

    rule test_claims:
        input:
            **named_inputs("tables", "claims", PLAN.claim_needs),
            code=code("reflash.paper.claim_tests"),
        output:
            CLAIMS,
        log:
            f"{LOGS}/test_claims/{PLAN.name}.log",
        resources:
            mem_mb=2000,
            runtime=30,
        params:
            settings=text(PLAN.artefacts("tables")["claims"]),
            context=text(PLAN.context(PLAN.artefact_models("claims", "tables"))),
            inputs=lambda wildcards, input: options(
                "tables", "claims", PLAN.claim_needs, input
            ),
        message:
            "Testing the paper's claims"
        shell:
            "reflash claims --context {params.context:q} --settings {params.settings:q}"
            " {params.inputs} --out {output} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
