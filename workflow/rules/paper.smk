# Tables and figures of the paper, each from the tidy CSVs of the runs it shows.


def evaluations(name, kind, sets=None):
    """Evaluation CSVs of the models of a table or figure, the bicubic baseline first."""
    runs = ["bicubic", *PLAN.artefact_runs(name, kind)]
    return expand(f"{RUNS}/{{run}}/evaluation/{{set}}.csv", run=runs, set=sets or PLAN.test_sets)


def figure_inputs(wildcards):
    """Named inputs of a figure, as its settings declare them."""
    needs = PLAN.figure_needs(wildcards.name)
    runs = PLAN.artefact_runs(wildcards.name, "figures")
    inputs = {}
    if needs.evaluation:
        inputs["evaluation"] = evaluations(wildcards.name, "figures", needs.sets)
    if needs.logs:
        inputs["logs"] = expand(f"{RUNS}/{{run}}/log.csv", run=runs)
    if needs.examples:
        (image_set,) = needs.sets
        lr = f"{DATA}/test/{image_set}/{needs.kind}/manifest.csv"
        sr = f"{RUNS}/{{run}}/examples/{image_set}/{needs.kind}/manifest.csv"
        inputs["images"] = [f"{DATA}/test/{image_set}/hr/manifest.csv", lr]
        inputs["sr"] = expand(sr, run=["bicubic", *PLAN.first_seed(runs)])
    return inputs


rule make_table:
    input:
        evaluation=lambda wildcards: evaluations(wildcards.name, "tables"),
        code=code("reflash.paper.tables"),
    output:
        multiext(TABLE, ".csv", ".md", ".tex", ".json"),
    log:
        f"{LOGS}/make_table/{PLAN.name}/{{name}}.log",
    params:
        settings=lambda wildcards: text(PLAN.artefacts("tables")[wildcards.name]),
        context=lambda wildcards: text(PLAN.context(wildcards.name, "tables")),
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "Table {wildcards.name}"
    shell:
        "reflash table {wildcards.name} --context {params.context:q} --settings {params.settings:q}"
        " --evaluation {input.evaluation} --out {output[0]} > {log} 2>&1"
