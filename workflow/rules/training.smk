# Training: one job per run. Only weights and log are declared, so that the resume state beside
# them survives when Snakemake removes the outputs of a job it starts again.


rule train_network:
    input:
        data=lambda wildcards: PLAN.pairs_source(wildcards.run, DATA),
        validation=f"{DATA}/test/validation/hr/manifest.csv",
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
        gpu=min(1, GPUS),
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
        " --threads {threads} > {log} 2>&1"
