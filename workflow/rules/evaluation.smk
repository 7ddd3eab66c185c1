# Evaluation: every run on every test set, all degradations in one job.


rule evaluate_network:
    input:
        weights=evaluated_weights,
        hr=f"{DATA}/test/{{set}}/hr/manifest.csv",
        lr=expand(f"{DATA}/test/{{{{set}}}}/{{kind}}/manifest.csv", kind=PLAN.kinds),
        code=code("reflash.evaluation.evaluate"),
    output:
        f"{RUNS}/{{run}}/evaluation/{{set}}.csv",
    log:
        f"{LOGS}/evaluate_network/{{run}}/{{set}}.log",
    benchmark:
        f"{BENCHMARKS}/evaluate_network/{{run}}/{{set}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=120,
    params:
        weights=lambda wildcards, input: input.get("weights") or "bicubic",
        settings=text(PLAN.scale.evaluation),
        lr=lambda wildcards, input: [f"--lr {Path(m).parent}" for m in input.lr],
    message:
        "Evaluating {wildcards.run} on {wildcards.set}"
    shell:
        "reflash evaluate --weights {params.weights} --hr $(dirname {input.hr}) {params.lr}"
        " --out {output} --run {wildcards.run} --set {wildcards.set}"
        " --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule upscale_examples:
    input:
        weights=evaluated_weights,
        lr=f"{DATA}/test/{{set}}/{{kind}}/manifest.csv",
        code=code("reflash.evaluation.upscale"),
    output:
        f"{RUNS}/{{run}}/examples/{{set}}/{{kind}}/manifest.csv",
    log:
        f"{LOGS}/upscale_examples/{{run}}/{{set}}-{{kind}}.log",
    benchmark:
        f"{BENCHMARKS}/upscale_examples/{{run}}/{{set}}-{{kind}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=30,
    params:
        weights=lambda wildcards, input: input.get("weights") or "bicubic",
        limit=lambda wildcards: PLAN.example_count,
    message:
        "Upscaling example images with {wildcards.run}"
    shell:
        "reflash upscale $(dirname {input.lr}) $(dirname {output}) --weights {params.weights}"
        " --limit {params.limit} --manifest --overwrite --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule upscale_pictures:
    input:
        weights=evaluated_weights,
        lr=f"{DATA}/real/manifest.csv",
        code=code("reflash.evaluation.upscale"),
    output:
        f"{RUNS}/{{run}}/real/manifest.csv",
    log:
        f"{LOGS}/upscale_pictures/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/upscale_pictures/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=60,
    params:
        weights=lambda wildcards, input: input.get("weights") or "bicubic",
    message:
        "Upscaling real pictures with {wildcards.run}"
    shell:
        "reflash upscale $(dirname {input.lr}) $(dirname {output}) --weights {params.weights}"
        " --manifest --overwrite --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule summarise_metrics:
    input:
        evaluations=expand(
            f"{RUNS}/{{run}}/evaluation/{{set}}.csv",
            run=["bicubic", *PLAN.all_runs],
            set=PLAN.test_sets,
        ),
        code=code("reflash.evaluation.summary"),
    output:
        metrics=METRICS,
        bars=f"results/{PLAN.name}/metrics.csv",
    log:
        f"{LOGS}/summarise_metrics/{PLAN.name}.log",
    benchmark:
        f"{BENCHMARKS}/summarise_metrics/{PLAN.name}.tsv"
    resources:
        mem_mb=500,
        runtime=10,
    message:
        "Mean PSNR of every run"
    shell:
        "reflash metrics {input.evaluations} --out {output.metrics} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
