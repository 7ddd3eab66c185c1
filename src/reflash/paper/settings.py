"""What a study may declare: the artefacts, the models each needs, and the style of figures."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reflash.degradations.settings import Kind
from reflash.settings import Settings

Metric = Literal["psnr", "ssim", "psnr_y", "ssim_y"]


class Artefact(Settings):
    """A table or figure: which models it shows (none named: all models of the study)."""

    models: tuple[str, ...] = ()
    """Models shown, in this order, e.g. srresnet/multi/none; braces expand; empty: the study's."""


class MultiDegradation(Artefact):
    """Table: every model on the eight degradations of every test set, with gains and the paper."""


class DropoutGrid(Artefact):
    """Table: every placement, dimension and probability against the same network without."""


class TeaserBars(Artefact):
    """Figure: mean metric per degradation as grouped bars, the paper's bar chart."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)

    set: str | None = None
    """Test set shown; null: the scale's first."""
    kinds: Annotated[tuple[Kind | Literal["mean"], ...], Field(min_length=1)] = (
        "clean",
        "blur",
        "noise",
        "jpeg",
    )
    """Degradations shown, in this order; mean is the mean of all eight."""
    metric: Metric = "psnr"
    """What the bars measure."""


class TrainingCurves(Artefact):
    """Figure: validation PSNR (EMA weights) against iterations, one line per model."""

    inputs: ClassVar[tuple[str, ...]] = ("logs",)


class VisualComparison(Artefact):
    """Figure: the same crop from every model side by side, with the PSNR of its image."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations", "hr", "lr", "sr")

    set: str | None = None
    """Test set shown; null: the scale's first."""
    examples: Annotated[int, Field(ge=1)] = 3
    """Number of images (rows): the first of the set in order of name."""
    kind: Kind = "noise_jpeg"
    """Degradation the images went through."""
    size: Annotated[int, Field(ge=16)] = 96
    """Side of the crop shown, in HR pixels; the most detailed crop of the image is chosen."""


class DropoutPlacements(Settings):
    """Figure: where the dropout layers sit, drawn from the network's own description."""

    inputs: ClassVar[tuple[str, ...]] = ("network",)

    network: str = "srresnet"
    """Name of the scale's network that is drawn."""
    placements: tuple[str, ...] = (
        "b4",
        "b8",
        "b12",
        "b16",
        "last_conv",
        "quarter",
        "half",
        "all",
    )
    """Placements drawn, one row each."""


class Tables(Settings):
    """The tables of a study; null leaves one out."""

    multi_degradation: MultiDegradation | None = MultiDegradation()
    """Models x degradations x test sets, with gain rows and the paper's values."""
    dropout_grid: DropoutGrid | None = DropoutGrid()
    """Placement x dimension x probability, gains over the network without dropout."""


class Figures(Settings):
    """The figures of a study; null leaves one out."""

    teaser_bars: TeaserBars | None = TeaserBars()
    """Bars per degradation."""
    training_curves: TrainingCurves | None = TrainingCurves()
    """Validation PSNR while training."""
    visual_comparison: VisualComparison | None = VisualComparison()
    """Crops side by side."""
    dropout_placements: DropoutPlacements | None = DropoutPlacements()
    """Where dropout sits."""


class FigureStyle(Settings):
    """How figures look; a change redraws figures and report, nothing else."""

    font_size: Annotated[float, Field(ge=5, le=14)] = 8.0
    """Size of axis labels and titles in points."""
    width: Annotated[float, Field(gt=1, le=10)] = 3.35
    """Width of a one-column figure in inches; wide figures take twice that and the gutter."""
    dpi: Annotated[int, Field(ge=72, le=600)] = 200
    """Resolution of the PNG in dots per inch."""
    palette: Literal["okabe_ito", "tableau_colorblind"] = "okabe_ito"
    """Colour-blind-safe colours, one per model."""
