# Training: its images, the pool of pairs, and one job per run. Left out with weights: published.
# A run declares only its weights and log, so that the resume state beside them survives when
# Snakemake removes the outputs of a job it starts again.


rule make_training_images:
    input:
        raw=PLAN.training_manifests,
        own=PLAN.own_images("training"),
        code=code("reflash.datasets.sources", data=False),
    output:
        f"{DATA}/train/images/manifest.csv",
    log:
        f"{LOGS}/make_training_images.log",
    benchmark:
        f"{BENCHMARKS}/make_training_images.tsv"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=text(PLAN.scale.training_images),
    message:
        "Making training images"
    shell:
        "reflash data training-images $(dirname {output}) --settings {params.settings:q}"
        " --raw data/raw > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule cache_training_images:
    input:
        images=f"{DATA}/train/images/manifest.csv",
        code=code("reflash.datasets.cache"),
    output:
        f"{DATA}/train/cache/cache.json",
    log:
        f"{LOGS}/cache_training_images.log",
    benchmark:
        f"{BENCHMARKS}/cache_training_images.tsv"
    resources:
        mem_mb=2000,
        runtime=120,
    message:
        "Decoding training images once for all runs"
    shell:
        "reflash data cache $(dirname {input.images}) $(dirname {output}) > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule check_leaks:
    input:
        train=f"{DATA}/train/images/manifest.csv",
        test=expand(f"{DATA}/test/{{set}}/hr/manifest.csv", set=PLAN.test_sets),
        code=code("reflash.datasets.leaks"),
    output:
        f"{DATA}/train/leaks.csv",
    log:
        f"{LOGS}/check_leaks.log",
    benchmark:
        f"{BENCHMARKS}/check_leaks.tsv"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        test=lambda wildcards, input: [f"--test {Path(m).parent}" for m in input.test],
    message:
        "Looking for test images among the training images"
    shell:
        "reflash data leaks --train $(dirname {input.train}) {params.test} --out {output}"
        " > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


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
        " --out $(dirname {output}) --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule train_network:
    input:
        data=lambda wildcards: PLAN.pairs_source(wildcards.run, DATA),
        validation=f"{DATA}/test/validation/hr/manifest.csv",
        # Must exist, but a new check of new test sets does not train again.
        leaks=ancient(f"{DATA}/train/leaks.csv") if PLAN.may_leak else [],
        code=code("reflash.training.trainer"),
    output:
        params=f"{RUNS}/{{run}}/params.safetensors",
        params_ema=f"{RUNS}/{{run}}/params_ema.safetensors",
        table=f"{RUNS}/{{run}}/log.csv",
    log:
        f"{LOGS}/train_network/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/train_network/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=2880,
    params:
        settings=lambda wildcards: text(PLAN.run_settings(wildcards.run)),
        source="--pairs" if PLAN.scale.pairs.synthesis == "pool" else "--images",
    message:
        "Training {wildcards.run}"
    shell:
        "reflash train --config {params.settings:q} {params.source} $(dirname {input.data})"
        " --validation $(dirname {input.validation}) --out $(dirname {output.table})"
        " --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
