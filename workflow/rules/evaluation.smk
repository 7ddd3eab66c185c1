# Evaluation: every run on every test set, all degradations in one job.


rule evaluate_network:
    input:
        weights=evaluated_weights,
        images=lambda wildcards: PLAN.image_list(wildcards.run, wildcards.set),
        leaks=leak_report,
    output:
        FILES.evaluation("{run}", "{set}"),
    log:
        FILES.log("evaluate_network", "{run}", "{set}"),
    benchmark:
        FILES.benchmark("evaluate_network", "{run}", "{set}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=120,
    params:
        weights=weights_option,
        content=weights_content,
        settings=text(PLAN.evaluation_settings),
        folders=lambda wildcards: hr_and_lr(
            FILES.hr(wildcards.set),
            [FILES.lr(wildcards.set, kind) for kind in PLAN.kinds_of(wildcards.run)],
        ),
        code=code("evaluation"),
    message:
        "Evaluating {wildcards.run} on {wildcards.set}"
    shell:
        "logged {log} reflash evaluate --weights {params.weights:q} {params.folders}"
        " --out {output} --run {wildcards.run} --set {wildcards.set}"
        " --settings {params.settings:q} --threads {threads}"


rule upscale_examples:
    input:
        weights=evaluated_weights,
        lr=FILES.lr("{set}", "{kind}"),
    output:
        FILES.upscaled("{run}", "{set}", "{kind}"),
    log:
        FILES.log("upscale_examples", "{run}", "{set}-{kind}"),
    benchmark:
        FILES.benchmark("upscale_examples", "{run}", "{set}-{kind}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=30,
    params:
        weights=weights_option,
        content=weights_content,
        limit=lambda wildcards: PLAN.example_count,
        tiles=PLAN.tiles_option,
        code=code("upscaling"),
    message:
        "Upscaling example images with {wildcards.run}"
    shell:
        "logged {log} reflash upscale $(dirname {input.lr}) $(dirname {output})"
        " --weights {params.weights:q} {params.tiles} --limit {params.limit} --manifest --overwrite --threads {threads}"


rule upscale_real_photos:
    input:
        weights=evaluated_weights,
        lr=FILES.real,
    output:
        FILES.upscaled_real("{run}"),
    log:
        FILES.log("upscale_real_photos", "{run}"),
    benchmark:
        FILES.benchmark("upscale_real_photos", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=60,
    params:
        weights=weights_option,
        content=weights_content,
        tiles=PLAN.tiles_option,
        code=code("upscaling"),
    message:
        "Upscaling real photographs with {wildcards.run}"
    shell:
        "logged {log} reflash upscale $(dirname {input.lr}) $(dirname {output})"
        " --weights {params.weights:q} {params.tiles} --manifest --overwrite --threads {threads}"


rule crop_set14:
    input:
        raw("Set14"),
    output:
        SET14_MOD12,
    log:
        FILES.log("crop_set14"),
    benchmark:
        FILES.benchmark("crop_set14")
    group:
        IMAGES
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings="{source: dataset, name: Set14}",
        code=code("images"),
    message:
        "HR images of SEAL's degradations"
    shell:
        "logged {log} reflash data test-set $(dirname {output}) --settings {params.settings:q}"
        " --mod 12 --raw data/raw"


rule evaluate_set14_se:
    input:
        weights=evaluated_weights,
        hr=SET14_MOD12,
        lr=raw("Set14_SE"),
    output:
        FILES.analysis("{run}", "seal"),
    log:
        FILES.log("evaluate_set14_se", "{run}"),
    benchmark:
        FILES.benchmark("evaluate_set14_se", "{run}")
    group:
        EVALUATION
    threads: PLAN.scale.threads
    resources:
        gpu=gpus,
        mem_mb=4000,
        runtime=240,
    params:
        weights=weights_option,
        content=weights_content,
        settings=text(SEAL),
        code=code("evaluation"),
    message:
        "Evaluating {wildcards.run} on SEAL's degradations"
    shell:
        "logged {log} reflash evaluate --weights {params.weights:q} --hr $(dirname {input.hr})"
        " $(printf -- '--lr %s ' $(dirname {input.lr})/deg_*) --out {output}"
        " --run {wildcards.run} --set Set14_SE --settings {params.settings:q} --threads {threads}"


rule summarise_metrics:
    input:
        evaluation_files(PLAN),
    output:
        metrics=FILES.metrics,
        bars=FILES.metrics.replace(".json", ".csv"),
    log:
        FILES.log("summarise_metrics", FILES.name),
    benchmark:
        FILES.benchmark("summarise_metrics", FILES.name)
    group:
        PAPER
    resources:
        mem_mb=500,
        runtime=10,
    params:
        results=results_folder,
        labels=lambda wildcards: text(PLAN.main_labels),
        code=code("metrics"),
    message:
        "Mean PSNR of the main comparison"
    shell:
        "logged {log} reflash metrics --results {params.results}"
