# The page that shows every table and figure with the paper's values beside.


rule make_report:
    input:
        tables=[
            f"{FILES.table(name)}.{suffix}"
            for name in PLAN.artefacts("tables")
            for suffix in ("csv", "md", "tex", "json")
        ],
        figures=[
            f"{FILES.figure(name)}.{suffix}"
            for name in PLAN.artefacts("figures")
            for suffix in ("pdf", "png", "csv", "json")
        ],
        runs=[FILES.training_log(run) for run in PLAN.trained_runs],
        claims=FILES.claims if PLAN.claim_needs else [],
    output:
        page=report(
            FILES.report,
            caption="../report/page.rst",
            category="Report",
            labels={"page": "claims, figures, tables and runs"},
        ),
        archive=FILES.report_archive,
    log:
        FILES.log("make_report", FILES.name),
    benchmark:
        FILES.benchmark("make_report", FILES.name)
    group:
        PAPER
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        results=results_folder,
        context=lambda wildcards: text(PLAN.context(PLAN.models)),
        code=code("report"),
    message:
        "Report {output.page}"
    shell:
        "logged {log} reflash report --results {params.results}"
