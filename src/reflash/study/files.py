"""Every path below data/, results/ and figures/: the one place that knows where things lie.

Paths are relative to the project's folder, as Snakemake names its files. A part may be a wildcard
of Snakemake (``{run}``), so that the rules and the commands share these functions. Folders of
images stand for themselves by their manifest, which is written last.

>>> files = Files("demo")
>>> files.evaluation("srresnet/multi/none/seed0", "Set5")
'results/demo/runs/srresnet/multi/none/seed0/evaluation/Set5.csv'
>>> Files("demo", "mine").figure("teaser_bars")
'figures/demo/mine/teaser_bars'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reflash.datasets.manifest import MANIFEST
from reflash.datasets.public_weights import FOLDER as WEIGHTS

RELEASED = "released"
"""Folder of the authors' weights, and of what is made from them."""

RAW = "data/raw"
"""Folder of named datasets, shared by all scales."""

COST = "benchmarks/results/cost.csv"
"""The benchmark of training with and without dropout."""

SET14_MOD12 = f"data/Set14_mod12/{MANIFEST}"
"""HR images of SEAL's degradations, shared by all scales."""

TAKEN = {
    "study": ("benchmarks", "logs", RELEASED, "report", "runs", "tables", "tensorboard"),
    "scale": (*(Path(shared).name for shared in (RAW, WEIGHTS)), Path(SET14_MOD12).parts[1]),
}
"""Names that a study or a scale cannot have: folders of a scale's results, and of all images."""

ANALYSES = {
    "saliency": "saliency.csv",
    "concentration": "concentration.csv",
    "ablation": "ablation.csv",
    "masking": "masking.csv",
    "masking_area": "masking_area.csv",
    "points": "points.csv",
    "chi": "chi.csv",
    "paired": "paired.csv",
    "sensitivity": "sensitivity.csv",
    "seal": "seal.csv",
}
"""Tables of a run's ``analysis`` folder, by the names that artefacts ask for."""


def public_weights(name: str) -> str:
    """Return public weights, shared by all scales."""
    return f"{WEIGHTS}/{name}.safetensors"


def raw(name: str) -> str:
    """Return the manifest of a named dataset."""
    return f"{RAW}/{name}/{MANIFEST}"


@dataclass(frozen=True)
class Files:
    """The paths of one study at one scale; runs and images are shared by a scale's studies."""

    scale: str
    study: str | None = None
    """None for the study that the scale is made for."""
    released: bool = False
    """Whether weights are those that the authors released; results then lie in a folder of it."""

    @property
    def _top(self) -> str:
        return f"{self.scale}/{RELEASED}" if self.released else self.scale

    @property
    def name(self) -> str:
        """Folder of the artefacts below results/ and figures/."""
        return f"{self._top}/{self.study}" if self.study else self._top

    @property
    def data(self) -> str:
        """Folder of the scale's images."""
        return f"data/{self.scale}"

    @property
    def runs(self) -> str:
        """Folder of the scale's runs."""
        return f"results/{self._top}/runs"

    @property
    def tensorboard(self) -> str:
        """Folder of the curves that TensorBoard shows, one folder in it for each run."""
        return f"results/{self._top}/tensorboard"

    @property
    def results(self) -> str:
        """Folder of the study's tables, claims and report."""
        return f"results/{self.name}"

    @property
    def config(self) -> str:
        """The resolved configuration, from which commands take what they need."""
        return f"{self.results}/config.json"

    def log(self, rule: str, *parts: str) -> str:
        """Return the log of a job."""
        return f"results/{self._top}/logs/{'/'.join((rule, *parts))}.log"

    def benchmark(self, rule: str, *parts: str) -> str:
        """Return what Snakemake measured of a job."""
        return f"results/{self._top}/benchmarks/{'/'.join((rule, *parts))}.tsv"

    # Images

    def hr(self, test_set: str) -> str:
        """Return the manifest of a test set's HR images."""
        return f"{self.data}/test/{test_set}/hr/{MANIFEST}"

    def lr(self, test_set: str, kind: str) -> str:
        """Return the manifest of a test set's LR images of one degradation."""
        return f"{self.data}/test/{test_set}/{kind}/{MANIFEST}"

    @property
    def real(self) -> str:
        """The manifest of the LR photographs that have no HR counterpart."""
        return f"{self.data}/real/{MANIFEST}"

    @property
    def training_images(self) -> str:
        """The manifest of the HR training images."""
        return f"{self.data}/train/images/{MANIFEST}"

    @property
    def cache(self) -> str:
        """The decoded training images."""
        return f"{self.data}/train/cache/cache.json"

    def images(self, test_set: str, task: str = "") -> str:
        """Return the list of all images of a test set: HR, and the eight kinds or a task's."""
        return f"{self.data}/test/{test_set}/images{f'-{task}' if task else ''}.csv"

    @property
    def all_leaks(self) -> str:
        """The reports on images of all test sets among the training images."""
        return f"{self.data}/train/leaks.csv"

    def leaks(self, test_set: str) -> str:
        """Return the report on images of a test set among the training images."""
        return f"{self.data}/test/{test_set}/leaks.csv"

    def pool(self, setting: str) -> str:
        """Return the pool of training pairs of a setting."""
        return f"{self.data}/train/pairs/{setting}/pool.json"

    # Runs

    def run(self, run: str) -> str:
        """Return the folder of a run."""
        return f"{self.runs}/{run}"

    def weights(self, run: str, which: str = "params") -> str:
        """Return the raw (``params``) or averaged (``params_ema``) weights of a run."""
        if self.released:
            return f"{WEIGHTS}/{RELEASED}/{run.rpartition('/')[0]}/{which}.safetensors"
        return f"{self.run(run)}/{which}.safetensors"

    def training_log(self, run: str) -> str:
        """Return the training log of a run, its last file."""
        return f"{self.run(run)}/log.csv"

    def evaluation(self, run: str, test_set: str) -> str:
        """Return the per-image scores of a run on a test set."""
        return f"{self.run(run)}/evaluation/{test_set}.csv"

    def upscaled(self, run: str, test_set: str, kind: str) -> str:
        """Return the manifest of a run's upscaled examples."""
        return f"{self.run(run)}/examples/{test_set}/{kind}/{MANIFEST}"

    def upscaled_real(self, run: str) -> str:
        """Return the manifest of a run's upscaled real photographs."""
        return f"{self.run(run)}/real/{MANIFEST}"

    def analysis(self, run: str, name: str) -> str:
        """Return a table of a run's analyses; ``name`` is a key of ``ANALYSES``."""
        return f"{self.run(run)}/analysis/{ANALYSES[name]}"

    # Artefacts

    def table(self, name: str) -> str:
        """Return a table's path without suffix (.csv, .md, .tex, .json)."""
        return f"{self.results}/tables/{name}"

    def figure(self, name: str) -> str:
        """Return a figure's path without suffix (.csv, .pdf, .png, .json)."""
        return f"figures/{self.name}/{name}"

    @property
    def claims(self) -> str:
        """The tested claims."""
        return f"{self.results}/claims.json"

    @property
    def metrics(self) -> str:
        """Mean PSNR of the main comparison, for ``dvc metrics show``."""
        return f"{self.results}/metrics.json"

    @property
    def report(self) -> str:
        """The results page."""
        return f"{self.results}/report/index.html"

    @property
    def report_archive(self) -> str:
        """The results page with the files it links beside it, as a zip."""
        return f"{self.results}/report/report.zip"
