# LR images: the eight degradations of every test set.


rule degrade_test_set:
    input:
        hr=f"{DATA}/test/{{set}}/hr/manifest.csv",
        code=code("reflash.degradations.benchmark"),
    output:
        f"{DATA}/test/{{set}}/{{kind}}/manifest.csv",
    log:
        f"{LOGS}/degrade_test_set/{{set}}-{{kind}}.log",
    benchmark:
        f"{BENCHMARKS}/degrade_test_set/{{set}}-{{kind}}.tsv"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=lambda wildcards: text(PLAN.benchmark_settings(wildcards.kind)),
    message:
        "Degrading {wildcards.set}: {wildcards.kind}"
    shell:
        "reflash degrade $(dirname {input.hr}) $(dirname {output}) --kind {wildcards.kind}"
        " --settings {params.settings:q} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
