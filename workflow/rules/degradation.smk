# LR images: the eight degradations of every test set, and the pool of training pairs.


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
        " --settings {params.settings:q} > {log} 2>&1"


rule synthesise_pairs:
    input:
        images=f"{DATA}/train/cache/cache.json",
        code=code("reflash.training.pairs"),
    output:
        f"{DATA}/train/pairs/{{setting}}/pool.json",
    log:
        f"{LOGS}/synthesise_pairs/{{setting}}.log",
    benchmark:
        f"{BENCHMARKS}/synthesise_pairs/{{setting}}.tsv"
    threads: PLAN.scale.threads
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        settings=lambda wildcards: text(PLAN.pool_settings(wildcards.setting)),
    message:
        "Synthesising training pairs: {wildcards.setting}"
    shell:
        "reflash pairs --config {params.settings:q} --images $(dirname {input.images})"
        " --out $(dirname {output}) --threads {threads} > {log} 2>&1"
