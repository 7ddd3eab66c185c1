# The page that shows every table and figure with the paper's values beside.


rule make_report:
    input:
        tables=TABLES,
        figures=expand(
            f"{FIGURE}.{{suffix}}",
            name=PLAN.artefacts("figures"),
            suffix=["pdf", "png", "csv", "json"],
        ),
        runs=expand(f"{RUNS}/{{run}}/log.csv", run=PLAN.all_runs),
        claims=CLAIMS if PLAN.claim_needs else [],
        code=code("reflash.report.page"),
    output:
        REPORT,
    log:
        f"{LOGS}/make_report/{PLAN.name}.log",
    benchmark:
        f"{BENCHMARKS}/make_report/{PLAN.name}.tsv"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        context=text(PLAN.context(PLAN.models)),
        tables=[f"--table {Path(t).with_suffix('')}" for t in TABLES],
        figures=[f"--figure {Path(f).with_suffix('')}" for f in FIGURES],
        runs=[f"--run {RUNS}/{run}" for run in PLAN.all_runs],
        claims=f"--claims {CLAIMS}" if PLAN.claim_needs else "",
        command=f"snakemake --cores all --config study={PLAN.resolved.study_name} scale={SCALE}",
    message:
        "Report {output}"
    shell:
        "reflash report {output} --context {params.context:q} {params.tables} {params.figures}"
        " {params.runs} {params.claims} --command {params.command:q} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
