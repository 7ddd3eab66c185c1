# Tables, figures and claims of the paper, each from the files of the runs it shows.


rule make_table:
    input:
        unpack(inputs_of("tables")),
        code=lambda wildcards: code(
            "reflash.paper.tables.registry", f"reflash.paper.tables.{wildcards.name}"
        ),
    output:
        multiext(TABLE, csv=".csv", md=".md", tex=".tex", json=".json"),
    log:
        f"{LOGS}/make_table/{PLAN.name}/{{name}}.log",
    benchmark:
        f"{BENCHMARKS}/make_table/{PLAN.name}/{{name}}.tsv"
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
        " {params.inputs} --out {output.csv} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule make_figure:
    input:
        unpack(inputs_of("figures")),
        code=lambda wildcards: code(
            "reflash.paper.figures.make", f"reflash.paper.figures.{wildcards.name}"
        ),
    output:
        multiext(FIGURE, csv=".csv", pdf=".pdf", png=".png", json=".json"),
    log:
        f"{LOGS}/make_figure/{PLAN.name}/{{name}}.log",
    benchmark:
        f"{BENCHMARKS}/make_figure/{PLAN.name}/{{name}}.tsv"
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
        " --style {params.style:q} {params.inputs} --out {output.csv} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


if PLAN.claim_needs:

    rule test_claims:
        input:
            **named_inputs("tables", "claims", PLAN.claim_needs),
            code=code("reflash.paper.claims.tests"),
        output:
            CLAIMS,
        log:
            f"{LOGS}/test_claims/{PLAN.name}.log",
        benchmark:
            f"{BENCHMARKS}/test_claims/{PLAN.name}.tsv"
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
