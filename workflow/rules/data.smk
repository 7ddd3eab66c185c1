# Images: named datasets, training images, test sets. Every folder ends with a manifest.csv that
# lists its images with their pixel hashes; the manifest is what the rules pass on.


# On a cluster, where Snakemake itself runs: compute nodes often have no way to the internet.
localrules:
    fetch_dataset,
    fetch_weights,


rule fetch_dataset:
    output:
        raw("{name}"),
    log:
        FILES.log("fetch_dataset", "{name}"),
    benchmark:
        FILES.benchmark("fetch_dataset", "{name}")
    retries: 2
    resources:
        mem_mb=1000,
        runtime=240,
    message:
        "Fetching and verifying {wildcards.name}"
    shell:
        "logged {log} reflash data fetch {wildcards.name:q} --raw data/raw"


rule fetch_weights:
    output:
        public_weights("{name}"),
    log:
        FILES.log("fetch_weights", "{name}"),
    benchmark:
        FILES.benchmark("fetch_weights", "{name}")
    wildcard_constraints:
        name="|".join(weights_registry()),
    retries: 2
    resources:
        mem_mb=1000,
        runtime=60,
    message:
        "Fetching and verifying {wildcards.name}"
    shell:
        "logged {log} reflash weights fetch {wildcards.name:q}"


rule make_test_set:
    input:
        lambda wildcards: map(raw, PLAN.dataset_of(wildcards.set)),
    output:
        FILES.hr("{set}"),
    log:
        FILES.log("make_test_set", "{set}"),
    benchmark:
        FILES.benchmark("make_test_set", "{set}")
    group:
        IMAGES
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        settings=lambda wildcards: text(PLAN.image_set(wildcards.set)),
        mod=lambda wildcards: PLAN.mod(wildcards.set),
        own=lambda wildcards: folder_key(*PLAN.own_images(wildcards.set)),
        code=code("images"),
    message:
        "Preparing HR images of {wildcards.set}"
    shell:
        "logged {log} reflash data test-set $(dirname {output}) --settings {params.settings:q}"
        " --mod {params.mod} --raw data/raw"


rule gather_real_photos:
    input:
        [raw(name) for name in PLAN.real_dataset],
    output:
        FILES.real,
    log:
        FILES.log("gather_real_photos"),
    benchmark:
        FILES.benchmark("gather_real_photos")
    group:
        IMAGES
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        photos=PLAN.photos_option,
        limit=PLAN.photo_count,
        own=lambda wildcards: folder_key(*PLAN.own_images("real")),
        code=code("images"),
    message:
        "Gathering real photographs"
    shell:
        "logged {log} reflash data real-photos $(dirname {output}) {params.photos}"
        " --limit {params.limit} --raw data/raw"
