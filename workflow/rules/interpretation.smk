# Interpretation of trained networks: one job per run and analysis.


rule measure_saliency:
    input:
        weights=evaluated_weights,
        lr=FILES.lr(PLAN.analysis_set, "clean"),
    output:
        table=FILES.analysis("{run}", "saliency"),
        summary=FILES.analysis("{run}", "concentration"),
    log:
        FILES.log("measure_saliency", "{run}"),
    benchmark:
        FILES.benchmark("measure_saliency", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
        settings=text(PLAN.analysis_settings("images", "crop")),
        code=code("saliency"),
    message:
        "Channel saliency of {wildcards.run}"
    shell:
        "logged {log} reflash saliency --weights {params.weights:q} --lr $(dirname {input.lr})"
        " --out $(dirname {output.table}) --arrays"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads}"


rule ablate_channels:
    input:
        weights=evaluated_weights,
        lr=FILES.lr(PLAN.analysis_set, "clean"),
        hr=FILES.hr(PLAN.analysis_set),
    output:
        FILES.analysis("{run}", "ablation"),
    log:
        FILES.log("ablate_channels", "{run}"),
    benchmark:
        FILES.benchmark("ablate_channels", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
        settings=text(PLAN.analysis_settings("images", "crop", "border")),
        layers=[f"--layer {layer}" for layer in PLAN.ablated_layers],
        code=code("ablation"),
    message:
        "Removing single channels of {wildcards.run}"
    shell:
        "logged {log} reflash ablate --weights {params.weights:q} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output} {params.layers}"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads}"


rule mask_channels:
    input:
        weights=evaluated_weights,
        lr=FILES.lr(PLAN.analysis_set, "clean"),
        hr=FILES.hr(PLAN.analysis_set),
    output:
        table=FILES.analysis("{run}", "masking"),
        summary=FILES.analysis("{run}", "masking_area"),
    log:
        FILES.log("mask_channels", "{run}"),
    benchmark:
        FILES.benchmark("mask_channels", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
        settings=text(
            PLAN.analysis_settings("images", "crop", "border", "masking_draws", "seed")
        ),
        layer=PLAN.masked_layer,
        code=code("masking"),
    message:
        "Masking channels of {wildcards.run}"
    shell:
        "logged {log} reflash mask --weights {params.weights:q} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output.table} --layer {params.layer}"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads}"


rule represent_degradations:
    input:
        weights=evaluated_weights,
        lr=[
            FILES.lr(PLAN.representation_set, kind)
            for kind in PLAN.scale.analysis.kinds
        ],
    output:
        table=FILES.analysis("{run}", "points"),
        summary=FILES.analysis("{run}", "chi"),
        paired=FILES.analysis("{run}", "paired"),
    log:
        FILES.log("represent_degradations", "{run}"),
    benchmark:
        FILES.benchmark("represent_degradations", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
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
        lr=lambda wildcards, input: folders(input.lr),
        code=code("representations"),
    message:
        "Deep degradation representations of {wildcards.run}"
    shell:
        "logged {log} reflash represent --weights {params.weights:q} {params.lr}"
        " --out $(dirname {output.table})"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads}"


rule drop_features:
    input:
        weights=evaluated_weights,
        lr=FILES.lr(PLAN.analysis_set, "clean"),
        hr=FILES.hr(PLAN.analysis_set),
    output:
        FILES.analysis("{run}", "sensitivity"),
    log:
        FILES.log("drop_features", "{run}"),
    benchmark:
        FILES.benchmark("drop_features", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
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
        code=code("sensitivity"),
    message:
        "Dropping features of {wildcards.run} at test time"
    shell:
        "logged {log} reflash sensitivity --weights {params.weights:q} --lr $(dirname {input.lr})"
        " --hr $(dirname {input.hr}) --out {output}"
        " --run {wildcards.run} --settings {params.settings:q} --threads {threads}"
