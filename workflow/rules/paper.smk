# Tables, figures and claims of the paper, each from the files of the runs it shows.


rule make_table:
    input:
        unpack(lambda wildcards: files_read(PLAN, "tables", wildcards.name)),
    output:
        multiext(FILES.table("{name}"), md=".md", tex=".tex", json=".json"),
        csv=report(
            f"{FILES.table('{name}')}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels=titled("table", FILES.table("{name}")),
        ),
    log:
        FILES.log("make_table", FILES.name, "{name}"),
    benchmark:
        FILES.benchmark("make_table", FILES.name, "{name}")
    group:
        PAPER
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        results=results_folder,
        settings=lambda wildcards: text(PLAN.artefacts("tables")[wildcards.name]),
        context=lambda wildcards: text(PLAN.artefact_context("tables", wildcards.name)),
        code=code("table/{name}"),
    message:
        "Table {wildcards.name}"
    shell:
        "logged {log} reflash table {wildcards.name} --results {params.results}"


rule make_figure:
    input:
        unpack(lambda wildcards: files_read(PLAN, "figures", wildcards.name)),
    output:
        multiext(FILES.figure("{name}"), csv=".csv", pdf=".pdf", json=".json"),
        png=report(
            f"{FILES.figure('{name}')}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels=titled("figure", FILES.figure("{name}")),
        ),
    log:
        FILES.log("make_figure", FILES.name, "{name}"),
    benchmark:
        FILES.benchmark("make_figure", FILES.name, "{name}")
    group:
        PAPER
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        results=results_folder,
        settings=lambda wildcards: text(PLAN.artefacts("figures")[wildcards.name]),
        context=lambda wildcards: text(PLAN.artefact_context("figures", wildcards.name)),
        networks=lambda wildcards: PLAN.described_network(wildcards.name),
        style=text(PLAN.config.style),
        code=code("figure/{name}"),
    message:
        "Figure {wildcards.name}"
    shell:
        "logged {log} reflash figure {wildcards.name} --results {params.results}"


if PLAN.claim_needs:

    rule test_claims:
        input:
            **files_read(PLAN, "claims"),
        output:
            report(
                FILES.claims,
                caption="../report/claims.rst",
                category="Claims",
                labels={"claims": "effect, interval, verdict and rule of every part"},
            ),
        log:
            FILES.log("test_claims", FILES.name),
        benchmark:
            FILES.benchmark("test_claims", FILES.name)
        group:
            PAPER
        resources:
            mem_mb=2000,
            runtime=10,
        params:
            results=results_folder,
            settings=lambda wildcards: text(PLAN.artefacts("tables")["claims"]),
            context=lambda wildcards: text(PLAN.artefact_context("tables", "claims")),
            code=code("claims"),
        message:
            "Testing the paper's claims"
        shell:
            "logged {log} reflash claims --results {params.results}"
