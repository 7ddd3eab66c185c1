# Training: its images, the pool of pairs, and one job per run. Left out with weights: published.
# A run declares only its weights and log, so that the resume state and the record beside them
# survive when Snakemake removes the outputs of a job it starts again.


rule make_training_images:
    input:
        [raw(name) for name in PLAN.training_datasets],
    output:
        FILES.training_images,
    log:
        FILES.log("make_training_images"),
    benchmark:
        FILES.benchmark("make_training_images")
    group:
        IMAGES
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=text(PLAN.scale.training_images),
        own=lambda wildcards: folder_key(*PLAN.own_images("training")),
        code=code("images"),
    message:
        "Making training images"
    shell:
        "logged {log} reflash data training-images $(dirname {output})"
        " --settings {params.settings:q} --raw data/raw"


rule cache_training_images:
    input:
        FILES.training_images,
    output:
        FILES.cache,
    log:
        FILES.log("cache_training_images"),
    benchmark:
        FILES.benchmark("cache_training_images")
    group:
        IMAGES
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code("cache"),
    message:
        "Decoding training images once for all runs"
    shell:
        "logged {log} reflash data cache $(dirname {input}) $(dirname {output})"


rule check_leaks:
    input:
        train=FILES.training_images,
        test=FILES.hr("{set}"),
    output:
        FILES.leaks("{set}"),
    log:
        FILES.log("check_leaks", "{set}"),
    benchmark:
        FILES.benchmark("check_leaks", "{set}")
    group:
        IMAGES
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code("leaks"),
    message:
        "Looking for images of {wildcards.set} among the training images"
    shell:
        "logged {log} reflash data leaks --train $(dirname {input.train})"
        " --test $(dirname {input.test}) --out {output}"


rule join_leak_reports:
    input:
        LEAK_REPORTS,
    output:
        FILES.all_leaks,
    log:
        FILES.log("join_leak_reports"),
    benchmark:
        FILES.benchmark("join_leak_reports")
    group:
        IMAGES
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "No test image is among the training images"
    shell:
        "logged {log} reflash data join {input} --out {output}"


rule synthesise_pairs:
    input:
        FILES.cache,
    output:
        FILES.pool("{setting}"),
    log:
        FILES.log("synthesise_pairs", "{setting}"),
    benchmark:
        FILES.benchmark("synthesise_pairs", "{setting}")
    group:
        IMAGES
    threads: PLAN.scale.threads
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda wildcards: text(PLAN.pool_settings(wildcards.setting)),
        code=code("pairs"),
    message:
        "Synthesising training pairs: {wildcards.setting}"
    shell:
        "logged {log} reflash pairs --config {params.settings:q} --images $(dirname {input})"
        " --out $(dirname {output}) --threads {threads}"


rule train_network:
    input:
        data=lambda wildcards: PLAN.training_source(wildcards.run),
        validation=FILES.hr("validation"),
        # Must exist, but a check of new test sets does not train again.
        leaks=ancient(FILES.all_leaks) if LEAK_REPORTS else [],
    output:
        params=FILES.weights("{run}", "params"),
        params_ema=FILES.weights("{run}", "params_ema"),
        table=FILES.training_log("{run}"),
    log:
        FILES.log("train_network", "{run}"),
    benchmark:
        FILES.benchmark("train_network", "{run}")
    group:
        TRAINING
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=8000,
        # Minutes: 0.03 s an iteration. One that is stopped continues.
        runtime=max(10, PLAN.scale.training.iterations // 2000),
    params:
        settings=lambda wildcards: text(PLAN.run_settings(wildcards.run)),
        source="--pairs" if PLAN.scale.pairs.synthesis == "pool" else "--images",
        made_from=lambda wildcards: made_from(PLAN, wildcards.run),
        code=code("training"),
    message:
        "Training {wildcards.run}"
    shell:
        "logged {log} reflash train --config {params.settings:q} {params.source}"
        " $(dirname {input.data}) --validation $(dirname {input.validation})"
        " --out $(dirname {output.table}) --made-from {params.made_from} --again --threads {threads}"
