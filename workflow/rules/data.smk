# Images: named datasets, training images, test sets. Every folder ends with a manifest.csv that
# lists its images with their pixel hashes; the manifest is what the rules pass on.


rule fetch_dataset:
    output:
        "data/raw/{name}/manifest.csv",
    log:
        f"{LOGS}/fetch_dataset/{{name}}.log",
    benchmark:
        f"{BENCHMARKS}/fetch_dataset/{{name}}.tsv"
    retries: 2
    resources:
        mem_mb=1000,
        runtime=240,
    message:
        "Fetching and verifying {wildcards.name}"
    shell:
        "reflash data fetch {wildcards.name:q} --raw data/raw > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule make_test_set:
    input:
        raw=lambda wildcards: PLAN.raw_manifest(wildcards.set),
        own=lambda wildcards: PLAN.own_images(wildcards.set),
        code=code("reflash.datasets.sources", data=False),
    output:
        f"{DATA}/test/{{set}}/hr/manifest.csv",
    log:
        f"{LOGS}/make_test_set/{{set}}.log",
    benchmark:
        f"{BENCHMARKS}/make_test_set/{{set}}.tsv"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        settings=lambda wildcards: text(PLAN.image_set(wildcards.set)),
        mod=lambda wildcards: PLAN.mod(wildcards.set),
    message:
        "Preparing HR images of {wildcards.set}"
    shell:
        "reflash data test-set $(dirname {output}) --settings {params.settings:q}"
        " --mod {params.mod} --raw data/raw > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"


rule gather_pictures:
    input:
        raw=PLAN.picture_manifest,
        own=PLAN.own_images("pictures"),
        code=code("reflash.datasets.pictures", data=False),
    output:
        f"{DATA}/real/manifest.csv",
    log:
        f"{LOGS}/gather_pictures.log",
    benchmark:
        f"{BENCHMARKS}/gather_pictures.tsv"
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        pictures=PLAN.pictures_option,
        limit=PLAN.picture_count,
    message:
        "Gathering real pictures"
    shell:
        "reflash data pictures $(dirname {output}) {params.pictures} --limit {params.limit}"
        " --raw data/raw > {log} 2>&1 || (tail -n 3 {log} >&2; exit 1)"
