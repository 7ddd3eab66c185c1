# Tables and figures of the paper, each from the tidy CSVs of the runs it shows.


def evaluations(name, kind, sets):
    """Evaluation CSVs of the models of a table or figure, the bicubic baseline first."""
    runs = ["bicubic", *PLAN.artefact_runs(name, kind)]
    return expand(f"{RUNS}/{{run}}/evaluation/{{set}}.csv", run=runs, set=sets)


def figure_inputs(wildcards):
    """Input files of a figure, by what its settings say it needs."""
    name = wildcards.name
    settings = PLAN.artefacts("figures")[name]
    shown, first_seed = PLAN.figure_set(name), PLAN.scale.seeds[0]
    kind = getattr(settings, "kind", None)
    runs = [
        "bicubic",
        *(f"{m}/seed{first_seed}" for m in PLAN.artefact_models(name, "figures")),
    ]
    files = {
        "evaluations": lambda: evaluations(name, "figures", [shown]),
        "logs": lambda: expand(
            f"{RUNS}/{{run}}/log.csv", run=PLAN.artefact_runs(name, "figures")
        ),
        "hr": lambda: f"{DATA}/test/{shown}/hr/manifest.csv",
        "lr": lambda: f"{DATA}/test/{shown}/{kind}/manifest.csv",
        "sr": lambda: expand(
            f"{RUNS}/{{run}}/examples/{shown}/{kind}/manifest.csv", run=runs
        ),
    }
    return {need: files[need]() for need in settings.inputs if need in files}


def figure_options(wildcards, input):
    """Options of `reflash figure` that name the input files."""
    options = [f"--evaluation {f}" for f in input.get("evaluations", [])]
    options += [f"--log {f}" for f in input.get("logs", [])]
    options += [
        f"--{part} {Path(input[part]).parent}"
        for part in ("hr", "lr")
        if part in input.keys()
    ]
    options += [f"--sr {Path(f).parent}" for f in input.get("sr", [])]
    settings = PLAN.artefacts("figures")[wildcards.name]
    if "network" in settings.inputs:
        options.append(
            f"--network {quote(text(PLAN.scale.networks[settings.network]))}"
        )
    return options


rule make_table:
    input:
        evaluations=lambda wildcards: evaluations(
            wildcards.name, "tables", PLAN.test_sets
        ),
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
        evaluations=lambda wildcards, input: [
            f"--evaluation {f}" for f in input.evaluations
        ],
    message:
        "Table {wildcards.name}"
    shell:
        "reflash table {wildcards.name} --context {params.context:q} --settings {params.settings:q}"
        " {params.evaluations} --out {output[0]} > {log} 2>&1"


rule make_figure:
    input:
        unpack(figure_inputs),
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
        inputs=figure_options,
    message:
        "Figure {wildcards.name}"
    shell:
        "reflash figure {wildcards.name} --context {params.context:q} --settings {params.settings:q}"
        " --style {params.style:q} {params.inputs}"
        " --out {output[0]} > {log} 2>&1"
