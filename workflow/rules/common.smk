# Names that the rules share. What exists is decided by reflash.study, where it lies by its Files.
import os
import sys
from pathlib import Path

PROJECT = Path(workflow.basedir)
if (PROJECT / "src/reflash").is_dir():
    sys.path.insert(0, str(PROJECT / "src"))

from reflash.core.errors import ReflashError
from reflash.core.fingerprint import stage_fingerprint
from reflash.datasets.public_weights import weights_registry
from reflash.degradations.settings import KINDS
from reflash.degradations.tasks import TASKS
from reflash.evaluation.settings import SEAL
from reflash.models.names import SETTINGS
from reflash.core.slurm import check_queue
from reflash.study.checks import (
    check_images,
    check_published,
    check_released,
    check_tensorboard,
    load_plan,
)
from reflash.study.files import SET14_MOD12, public_weights, raw
from reflash.study.inputs import evaluation_files, files_read, needed_files
from reflash.study.runs import made_from, protect_finished_runs
from reflash.study.saved import save_config
from reflash.study.workflow import (
    TRAVEL,
    artefact_title,
    container_image,
    external_key,
    folder_key,
    prepare_environment,
    prepare_training,
    remove_outdated,
    require_makers,
    run_groups,
    runs_to_train,
    shell_prefix,
    show_reasons,
    text,
    work_as_submitted,
)

try:
    PLAN = load_plan(config)
    IMAGE = container_image(workflow.deployment_settings)
    # A submitted job runs Snakemake again, for what has been checked.
    if workflow.is_main_process:
        if PLAN.config.weights == "published":
            check_published(PLAN)
        else:
            check_released(PLAN)
            check_images(PLAN)
            check_tensorboard(PLAN)
            protect_finished_runs(PLAN)
except ReflashError as error:
    sys.exit(f"error: {error}")

FILES = PLAN.files
TABLES = [f"{FILES.table(name)}.csv" for name in PLAN.artefacts("tables")]
FIGURES = [f"{FILES.figure(name)}.pdf" for name in PLAN.artefacts("figures")]
# Where networks are trained on images that could hold test images, each test set is compared.
MAY_LEAK = PLAN.may_leak and PLAN.config.weights == "trained"
LEAK_REPORTS = [FILES.leaks(name) for name in PLAN.test_sets if MAY_LEAK]

prepare_environment(PLAN.config, PROJECT)
if IMAGE:

    container: IMAGE


# A profile that limits `slot` submits jobs: small ones travel together, `slot` of them at once.
# What Snakemake does not hand on to submitted jobs is given to them here.
if workflow.is_main_process:
    SLOTS = workflow.global_resources.get("slot").value or 0
    os.environ[TRAVEL] = str(SLOTS)
else:
    SLOTS = int(os.environ.get(TRAVEL, 0))
    if SLOTS:
        work_as_submitted(workflow, SLOTS)
RUN_GROUPS = run_groups(PLAN)
IMAGES = "images" if SLOTS else None
TRAINING = (lambda wildcards: RUN_GROUPS[wildcards.run][0]) if SLOTS else None
EVALUATION = (lambda wildcards: RUN_GROUPS[wildcards.run][1]) if SLOTS else None
PAPER = "paper" if SLOTS else None
# A group's jobs that do not depend on each other stay together by group-components of the profile,
# which names the groups by their first word.
workflow.parent_groupids.update(
    (name, name.split("-")[0]) for names in RUN_GROUPS.values() for name in names
)
# Only where jobs of the GPU follow each other may one of them train runs of others.
prepare_training(PLAN, bool(SLOTS) or workflow.global_resources.get("gpu") == 1)
# Commands write to their log by `logged LOG COMMAND`.
shell.prefix(shell_prefix())


wildcard_constraints:
    run=rf"bicubic|external/[^/]+/seed\d+|[^/]+/({'|'.join(SETTINGS)})/[^/]+/seed\d+",
    set=r"[^/]+",
    kind=r"[a-z_]+[0-9]*",
    setting="|".join(SETTINGS),
    task="|".join(TASKS),
    name=r"[A-Za-z0-9_]+",


def code(stage):
    """Fingerprint of the code that decides a stage's numbers, found when a job is planned."""
    return lambda wildcards: stage_fingerprint(stage.format(**wildcards))


def titled(what, stem):
    """Label a table or figure for snakemake --report: its title, from the JSON made with it."""
    return lambda wildcards: {what: artefact_title(f"{stem.format(**wildcards)}.json")}


def leak_report(wildcards):
    """Report that no test image was trained on, where networks are trained here or were."""
    leaks = FILES.leaks(wildcards.set)
    kept = PLAN.may_leak and PLAN.config.weights == "published" and Path(leaks).exists()
    return [leaks] if LEAK_REPORTS or kept else []


def evaluated_weights(wildcards):
    """Weights file of a run; bicubic has none, nor a factory that brings its own."""
    weights = None if wildcards.run == "bicubic" else PLAN.weights_file(wildcards.run)
    return weights or []


def weights_option(wildcards):
    """What `reflash --weights` takes: a file, a text that says more, or the word bicubic."""
    return "bicubic" if wildcards.run == "bicubic" else PLAN.weights_text(wildcards.run)


def weights_content(wildcards):
    """Hash of what an external network is made from; empty for networks trained here."""
    return "" if wildcards.run == "bicubic" else external_key(PLAN, wildcards.run)


def gpus(wildcards):
    """GPUs that a job uses: one for a network, none for bicubic."""
    return int(wildcards.run != "bicubic")


def results_folder(wildcards):
    """Folder of the study's results, from which commands take what they need."""
    return FILES.results


def folders(manifests):
    """Options --lr that name the folders of manifests."""
    return [f"--lr {Path(manifest).parent}" for manifest in manifests]


def hr_and_lr(hr, lr):
    """Options --hr and --lr that name the folders of a test set's manifests."""
    return [f"--hr {Path(hr).parent}", *folders(lr)]
