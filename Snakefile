# Regenerates every table and figure of the study: snakemake --cores all
# Which study at which scale: config/config.yaml, or --config scale=paper on the command line.
from snakemake.utils import min_version

min_version("9.8")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/degradation.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/interpretation.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/report.smk"


if PLAN.config.weights == "trained":

    include: "workflow/rules/training.smk"


try:
    require_makers(workflow.rules, needed_files(PLAN))
except ReflashError as error:
    sys.exit(f"error: {error}")


# Not a rule: Snakemake overlooks what has changed in jobs behind one that runs again and whose
# output they take as `ancient`.
onstart:
    if workflow.is_main_process and PLAN.config.weights == "trained":
        try:
            protect_finished_runs(PLAN, again=runs_to_train(workflow))
        except ReflashError as error:
            sys.exit(f"error: {error}")
    if SLOTS:
        try:
            check_queue(Path.cwd())
        except ReflashError as error:
            sys.exit(f"error: {error}")
        show_reasons()
        if workflow.is_main_process:
            remove_outdated(workflow)
    save_config(PLAN)


onsuccess:
    if Path(FILES.report).exists():  # not made for some targets
        print(f"report: {Path(FILES.report).absolute()}")


rule all:
    default_target: True
    input:
        TABLES,
        FIGURES,
        FILES.report,
        FILES.metrics,
