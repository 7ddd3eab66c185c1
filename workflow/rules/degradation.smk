# LR images: the eight degradations of every test set.


rule degrade_test_set:
    input:
        FILES.hr("{set}"),
    output:
        FILES.lr("{set}", "{kind}"),
    log:
        FILES.log("degrade_test_set", "{set}-{kind}"),
    benchmark:
        FILES.benchmark("degrade_test_set", "{set}-{kind}")
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=lambda wildcards: text(PLAN.benchmark_settings(wildcards.kind)),
        code=code("degradation"),
    message:
        "Degrading {wildcards.set}: {wildcards.kind}"
    shell:
        "logged {log} reflash degrade $(dirname {input}) $(dirname {output}) --kind {wildcards.kind}"
        " --settings {params.settings:q}"
