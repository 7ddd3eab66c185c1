# Interpretation of trained networks: one job per run and analysis.
ANALYSIS = f"{RUNS}/{{run}}/analysis"
ANALYSED = f"{DATA}/test/{PLAN.analysis_set}"
REPRESENTED = f"{DATA}/test/{PLAN.representation_set}"


rule measure_saliency:
    input:
        weights=evaluated_weights,
        lr=f"{ANALYSED}/clean/manifest.csv",
        code=code("reflash.interpretation.saliency"),
    output:
        table=f"{ANALYSIS}/saliency.csv",
        summary=f"{ANALYSIS}/concentration.csv",
    log:
        f"{LOGS}/measure_saliency/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/measure_saliency/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        settings=text(PLAN.analysis_settings("images", "crop")),
    message:
        "Channel saliency of {wildcards.run}"
    shell:
        "reflash saliency --weights {input.weights} --lr $(dirname {input.lr})"
        " --out $(dirname {output.table}) --run {wildcards.run} --arrays"
        " --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule ablate_channels:
    input:
        weights=evaluated_weights,
        lr=f"{ANALYSED}/clean/manifest.csv",
        hr=f"{ANALYSED}/hr/manifest.csv",
        code=code("reflash.interpretation.ablation"),
    output:
        f"{ANALYSIS}/ablation.csv",
    log:
        f"{LOGS}/ablate_channels/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/ablate_channels/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        settings=text(PLAN.analysis_settings("images", "crop", "border")),
        layers=[f"--layer {layer}" for layer in PLAN.ablated_layers],
    message:
        "Removing single channels of {wildcards.run}"
    shell:
        "reflash ablate --weights {input.weights} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output} --run {wildcards.run} {params.layers}"
        " --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule mask_channels:
    input:
        weights=evaluated_weights,
        lr=f"{ANALYSED}/clean/manifest.csv",
        hr=f"{ANALYSED}/hr/manifest.csv",
        code=code("reflash.interpretation.masking"),
    output:
        table=f"{ANALYSIS}/masking.csv",
        summary=f"{ANALYSIS}/masking_area.csv",
    log:
        f"{LOGS}/mask_channels/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/mask_channels/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        settings=text(
            PLAN.analysis_settings("images", "crop", "border", "masking_draws", "seed")
        ),
        layer=PLAN.masked_layer,
    message:
        "Masking channels of {wildcards.run}"
    shell:
        "reflash mask --weights {input.weights} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output.table} --run {wildcards.run}"
        " --layer {params.layer} --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule represent_degradations:
    input:
        weights=evaluated_weights,
        lr=expand(
            f"{REPRESENTED}/{{kind}}/manifest.csv", kind=PLAN.scale.analysis.kinds
        ),
        code=code("reflash.interpretation.representations"),
    output:
        table=f"{ANALYSIS}/points.csv",
        summary=f"{ANALYSIS}/chi.csv",
    log:
        f"{LOGS}/represent_degradations/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/represent_degradations/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=60,
    params:
        settings=text(
            PLAN.analysis_settings(
                "kinds",
                "layers",
                "representation_images",
                "representation_crop",
                "pca",
                "perplexity",
                "seed",
            )
        ),
        lr=lambda wildcards, input: [f"--lr {Path(m).parent}" for m in input.lr],
    message:
        "Deep degradation representations of {wildcards.run}"
    shell:
        "reflash represent --weights {input.weights} {params.lr} --out $(dirname {output.table})"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule drop_features:
    input:
        weights=evaluated_weights,
        lr=f"{ANALYSED}/clean/manifest.csv",
        hr=f"{ANALYSED}/hr/manifest.csv",
        code=code("reflash.interpretation.sensitivity"),
    output:
        f"{ANALYSIS}/sensitivity.csv",
    log:
        f"{LOGS}/drop_features/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/drop_features/{{run}}.tsv"
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        settings=text(
            PLAN.analysis_settings(
                "images",
                "crop",
                "border",
                "seed",
                "ratios",
                "sensitivity_draws",
                "sensitivity_layer",
                "sensitivity_dimension",
                "sensitivity_rescale",
            )
        ),
    message:
        "Dropping features of {wildcards.run} at test time"
    shell:
        "reflash sensitivity --weights {input.weights} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output} --run {wildcards.run}"
        " --settings {params.settings:q} --threads {threads} > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
