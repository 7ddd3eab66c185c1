# LR images: the eight degradations of every test set, and one list of all its images.


rule degrade_test_set:
    input:
        FILES.hr("{set}"),
    output:
        FILES.lr("{set}", "{kind}"),
    log:
        FILES.log("degrade_test_set", "{set}-{kind}"),
    benchmark:
        FILES.benchmark("degrade_test_set", "{set}-{kind}")
    group:
        IMAGES
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: text(PLAN.benchmark_settings(wildcards.kind)),
        code=code("degradation"),
    message:
        "Degrading {wildcards.set}: {wildcards.kind}"
    shell:
        "logged {log} reflash degrade $(dirname {input}) $(dirname {output}) --kind {wildcards.kind}"
        " --settings {params.settings:q}"


rule list_test_set:
    input:
        hr=FILES.hr("{set}"),
        lr=[FILES.lr("{set}", kind) for kind in KINDS],
    output:
        FILES.images("{set}"),
    log:
        FILES.log("list_test_set", "{set}"),
    benchmark:
        FILES.benchmark("list_test_set", "{set}")
    group:
        IMAGES
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "Listing the images of {wildcards.set}"
    shell:
        "logged {log} reflash data join {input} --out {output}"


rule list_task_images:
    input:
        hr=FILES.hr("{set}"),
        lr=lambda wildcards: [
            FILES.lr(wildcards.set, kind) for kind in TASKS[wildcards.task].kinds
        ],
    output:
        FILES.images("{set}", "{task}"),
    log:
        FILES.log("list_task_images", "{set}-{task}"),
    benchmark:
        FILES.benchmark("list_task_images", "{set}-{task}")
    group:
        IMAGES
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "Listing the images of {wildcards.set} for {wildcards.task}"
    shell:
        "logged {log} reflash data join {input} --out {output}"
