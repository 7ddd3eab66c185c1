"""What a study may declare: the artefacts, the models each needs, and the style of figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reflash.core.settings import SCALE, Settings
from reflash.degradations.settings import KINDS, Kind

Metric = Literal["psnr", "ssim", "psnr_y", "ssim_y"]

Layer = Annotated[str, Field(pattern=r"^(first|b([1-9]|1[0-6])|hr|last)$")]
"""A layer that is looked into: first, b1 to b16 (in sixteenths of the blocks), hr or last."""

Tap = Annotated[str, Field(pattern=r"^(first|b[1-9][0-9]*|hr|last)$")]
"""A layer as the analyses name it: first, b1 and so on (the network's own blocks), hr or last."""

Place = Literal["b4", "b8", "b12", "b16", "conv_hr", "last_conv", "quarter", "half", "all"]

Kinds = Annotated[tuple[Kind | Literal["mean"], ...], Field(min_length=1)]

Probability = Annotated[float, Field(gt=0, lt=1)]


class Artefact(Settings):
    """A table or figure: which models it shows (none named: all models of the study)."""

    shows_external: ClassVar[bool] = True
    """Whether networks that were not trained here are shown, too."""
    of_released: ClassVar[bool] = True
    """Whether the authors' released weights, without logs, are enough for it."""

    of_tasks: ClassVar[bool | None] = False
    """Whether models of other tasks than super-resolution are shown; None: both."""
    of_pairs: ClassVar[bool] = False
    """Whether it compares models with their baselines, and shows nothing without any."""
    estimates: ClassVar[bool] = False
    """Whether it makes intervals as the study's claims do, or shows the dropout they choose."""
    metrics: ClassVar[tuple[str, ...]] = ("psnr",)
    """Columns of the evaluations that are read, where there is no key ``metric``."""

    models: tuple[str, ...] = ()
    """Models shown, in this order, e.g. srresnet/multi/none; braces expand; empty: the study's."""


class OfOneSet(Artefact):
    """An artefact that shows one test set."""

    set: str | None = None
    """Test set shown; null: the scale's first."""


class TrainedHere(Artefact):
    """An artefact of networks trained here: of their logs, or of dropout as their names say it."""

    shows_external: ClassVar[bool] = False
    of_released: ClassVar[bool] = False


class Printed(Settings):
    """How a table is printed."""

    caption: Literal["full", "short"] = "full"
    """Caption of the printed table; short: its title, and what its scale is worth as evidence."""


ANATOMY = ("psnr", "psnr_low", "psnr_middle", "psnr_high", "psnr_usm")
"""Metrics that the anatomy of a gain is made from."""


class MetricTable(Artefact, Printed):
    """A table of one metric of the evaluations."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)

    metric: Metric = "psnr"
    """What the table shows; _y is of the luma alone."""
    decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    """Decimals shown; null: two of PSNR, four of SSIM."""
    sets: tuple[str, ...] = ()
    """Test sets printed, in this order; none named: all. The CSV has all."""

    @property
    def digits(self) -> int:
        """Decimals that are printed."""
        usual = 2 if self.metric.startswith("psnr") else 4
        return usual if self.decimals is None else self.decimals


class MultiDegradation(MetricTable):
    """Table: every model on the eight degradations of every test set, with gains and the paper."""

    kinds: Kinds = (*KINDS, "mean")
    """Degradations printed, a column each; mean is the mean of all eight. The CSV has all."""


class DropoutGrid(MetricTable):
    """Table: every placement, dimension and probability against the same network without."""


class Anatomy(Artefact, Printed):
    """Table: PSNR by frequency of the error and against the sharpened image, with gains."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)
    metrics: ClassVar[tuple[str, ...]] = ANATOMY

    kinds: Kinds = ("clean", "mean")
    """Degradations printed, a block each; mean is the mean of all eight. The CSV has all."""


class Regularisers(TrainedHere, Printed):
    """Table: every regulariser and strength against none and the paper's dropout."""

    estimates: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("evaluations", "logs", "concentration", "chi")

    layer: Tap = "last"
    """Layer whose saliency and separation are shown."""


class Chi(Artefact, Printed):
    """Table: how separate the degradations are in deep features (Calinski-Harabasz index)."""

    inputs: ClassVar[tuple[str, ...]] = ("chi",)


class Cost(Printed):
    """Table: time and memory of a training iteration with dropout against without."""

    inputs: ClassVar[tuple[str, ...]] = ("cost",)


class Seal(Artefact, Printed):
    """Table: SEAL's measures on Set14 in a hundred degradations, beside the published models."""

    inputs: ClassVar[tuple[str, ...]] = ("seal",)


class Tasks(Artefact, Printed):
    """Table: other tasks, with dropout and without, in and out of distribution."""

    of_tasks: ClassVar[bool | None] = True
    of_released: ClassVar[bool] = False
    estimates: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)


class Claims(Artefact, Printed):
    """Table and claims.json: the paper's claims as statistics over the models' runs."""

    shows_external: ClassVar[bool] = False
    of_tasks: ClassVar[bool | None] = None
    inputs: ClassVar[tuple[str, ...]] = ("claims",)
    tested_on: ClassVar[tuple[str, ...]] = ("evaluations",)
    """Inputs without which no claim is tested."""
    used: ClassVar[tuple[str, ...]] = (
        "concentration",
        "ablation",
        "masking",
        "points",
        "chi",
        "paired",
        "sensitivity",
        "logs",
        "cost",
    )
    """Inputs that some claims need; a claim without its own is reported as not tested."""

    last_conv: Mapping[str, Probability] = {
        "srresnet/multi": 0.7,
        "rrdb/multi": 0.5,
        "srresnet/single": 0.2,
        "rrdb/single": 0.2,
    }
    """Probability of channel dropout before the last convolution that stands for a network and
    setting; where it was not trained, or for a network not named (0.5), the nearest one."""
    layer: Tap = "last"
    """Layer whose saliency and ablation are compared."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Share of repetitions in which an interval is meant to cover the true effect."""
    resamples: Annotated[int, Field(ge=100)] = 10_000
    """Bootstrap resamples behind every interval."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the resampling."""
    smallest_db: Annotated[float, Field(ge=0)] = 0.05
    """Smallest difference of PSNR that matters, in dB."""
    smallest_share: Annotated[float, Field(ge=0)] = 0.01
    """Smallest difference that matters of numbers between 0 and 1 (Gini, entropy, areas)."""
    smallest_ratio: Annotated[float, Field(ge=0)] = 0.05
    """Smallest relative difference of CHI that matters (0.05: 5 %)."""
    cost_limit: Annotated[float, Field(gt=0)] = 0.05
    """Largest share of extra training time that counts as cheap; the paper is silent."""


class TeaserBars(OfOneSet):
    """Figure: mean metric per degradation as grouped bars, the paper's bar chart."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)

    kinds: Kinds = ("clean", "blur", "noise", "jpeg")
    """Degradations shown, in this order; mean is the mean of all eight."""
    metric: Metric = "psnr"
    """What the bars measure."""


class TrainingCurves(TrainedHere):
    """Figure: validation PSNR (EMA weights) against iterations, one line per model."""

    inputs: ClassVar[tuple[str, ...]] = ("logs",)


class GainAnatomy(TrainedHere):
    """Figure: the gain of dropout by frequency, against the target, and while training."""

    of_pairs: ClassVar[bool] = True
    estimates: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("evaluations", "logs")
    metrics: ClassVar[tuple[str, ...]] = ANATOMY

    kinds: Kinds = ("clean", "blur", "noise", "jpeg", "mean")
    """Degradations shown, in this order; mean is the mean of all eight."""


class RegulariserGains(TrainedHere):
    """Figure: the gain of every regulariser and strength over none, with intervals."""

    of_pairs: ClassVar[bool] = True
    estimates: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("evaluations", "logs")


class VisualComparison(OfOneSet):
    """Figure: the same crop from every model side by side, with the PSNR of its image."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations", "hr", "lr", "sr")

    examples: Annotated[int, Field(ge=1)] = 3
    """Number of images (rows): the first of the set in order of name."""
    kind: Kind = "noise_jpeg"
    """Degradation the images went through."""
    size: Annotated[int, Field(ge=16, multiple_of=SCALE)] = 96
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


class Positions(TrainedHere, OfOneSet):
    """Figure: PSNR against the position of one dropout layer, channel and element."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)

    network: str = "srresnet"
    """Network shown."""
    p: Probability = 0.2
    """Dropout probability shown (the paper's is not known; 0.2 is inferred)."""
    places: Annotated[tuple[Place, ...], Field(min_length=1)] = (
        "b4",
        "b8",
        "b12",
        "b16",
        "last_conv",
    )
    """Positions on the axis, from left to right; those without a model are left out."""


class PositionsSingle(Positions):
    """Figure: PSNR against the position of dropout, trained and tested on clean images."""


class PositionsMulti(Positions):
    """Figure: PSNR against the position of dropout, trained and tested on many degradations."""


class ProbabilityCurves(TrainedHere, OfOneSet):
    """Figure: PSNR against the dropout probability, channel and element, a panel per setting."""

    inputs: ClassVar[tuple[str, ...]] = ("evaluations",)

    network: str = "srresnet"
    """Network shown."""
    place: Place = "last_conv"
    """Where dropout sits."""


class Maps(Artefact):
    """Figure: what some channels of a layer look like, a row per model."""

    image: str | None = None
    """Name of the image shown, without suffix; null: the first that was analysed."""
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] = ("last",)
    """Layers shown, a block of rows each; b8 is half-way in a network of any depth."""
    channels: Annotated[int, Field(ge=2, le=16)] = 8
    """Channels shown per model, evenly spaced from the strongest to the weakest."""


class FeatureMaps(Maps):
    """Figure: feature maps of some channels, from the strongest to the weakest of each model."""

    inputs: ClassVar[tuple[str, ...]] = ("features",)


class SaliencyMaps(Maps):
    """Figure: channel saliency maps, from the most to the least salient of each model."""

    inputs: ClassVar[tuple[str, ...]] = ("maps",)


class SaliencyDistribution(Artefact):
    """Figure: sorted saliency of a layer's channels, with its Gini coefficient and entropy."""

    inputs: ClassVar[tuple[str, ...]] = ("saliency", "concentration")

    layers: Annotated[tuple[Layer, ...], Field(min_length=1)] = ("b8", "last")
    """Layers shown, a panel each; b8 is half-way in a network of any depth."""


class ChannelAblation(Artefact):
    """Figure: change of PSNR when one channel is removed, sorted over the channels."""

    inputs: ClassVar[tuple[str, ...]] = ("ablation",)

    layers: Annotated[tuple[Tap, ...], Field(min_length=1)] = ("last",)
    """Layers shown, a panel each; they must have been ablated."""


class ProgressiveMasking(Artefact):
    """Figure: PSNR while channels are masked one after another, in three orders."""

    inputs: ClassVar[tuple[str, ...]] = ("masking", "masking_area")


class DegradationClusters(Artefact):
    """Figure: deep features in the plane (t-SNE), coloured by degradation, with CHI."""

    inputs: ClassVar[tuple[str, ...]] = ("points", "chi")

    layer: Tap = "last"
    """Layer shown; it must have been analysed."""


class FeatureDropSensitivity(Artefact):
    """Figure: features dropped at test time, PSNR of the models beside a classifier's accuracy."""

    inputs: ClassVar[tuple[str, ...]] = ("sensitivity",)


class RealWorld(Artefact):
    """Figure: real LR photographs enlarged by every model, side by side; there is no HR image."""

    inputs: ClassVar[tuple[str, ...]] = ("real", "sr")

    photos: str | None = None
    """Folder of LR photographs, or name of a dataset such as RealSRSet; null: the sample photos."""
    examples: Annotated[int, Field(ge=1)] = 3
    """Number of images (rows): the first in order of name."""
    size: Annotated[int, Field(ge=16)] = 192
    """Side of the crop shown, in pixels of the result; the most detailed crop is chosen."""


class SealDistribution(Artefact):
    """Figure: PSNR less SEAL's acceptance line, degradations sorted, beside published models."""

    inputs: ClassVar[tuple[str, ...]] = ("seal",)

    published: tuple[str, ...] = ("RRDB + dropout (authors)", "RealESRNet_x4plus")
    """Published models shown beside (names of SEAL's table)."""


class Tables(Settings):
    """The tables of a study; null leaves one out."""

    multi_degradation: MultiDegradation | None = MultiDegradation()
    """Models x degradations x test sets, with gain rows and the paper's values."""
    dropout_grid: DropoutGrid | None = DropoutGrid()
    """Placement x dimension x probability, gains over the network without dropout."""
    anatomy: Anatomy | None = Anatomy()
    """PSNR by frequency and against the sharpened image, and the parts of the gain."""
    regularisers: Regularisers | None = None
    """Regularisers against dropout and none: PSNR, saliency, separation (study regularisers)."""
    tasks: Tasks | None = Tasks()
    """Other tasks than super-resolution, where a study has some."""
    chi: Chi | None = Chi()
    """Separation of the degradations in deep features."""
    seal: Seal | None = None
    """SEAL's hundred degradations of Set14 (dataset Set14_SE)."""
    cost: Cost | None = None
    """Time and memory of dropout, from the benchmark of training iterations."""
    claims: Claims | None = Claims()
    """The paper's claims with effect, interval and verdict."""


class Figures(Settings):
    """The figures of a study; null leaves one out."""

    teaser_bars: TeaserBars | None = TeaserBars()
    """Bars per degradation."""
    training_curves: TrainingCurves | None = TrainingCurves()
    """Validation PSNR while training."""
    gain_anatomy: GainAnatomy | None = None
    """The gain by frequency and while training; needs a model with and without dropout."""
    regulariser_gains: RegulariserGains | None = None
    """The gain of every regulariser over none (study regularisers)."""
    visual_comparison: VisualComparison | None = VisualComparison()
    """Crops side by side."""
    dropout_placements: DropoutPlacements | None = DropoutPlacements()
    """Where dropout sits."""
    positions_single: PositionsSingle | None = None
    """PSNR against position, single setting; needs models at several positions."""
    positions_multi: PositionsMulti | None = None
    """PSNR against position, multi setting; needs models at several positions."""
    probability: ProbabilityCurves | None = None
    """PSNR against probability; needs models of several probabilities."""
    feature_maps: FeatureMaps | None = FeatureMaps()
    """Feature maps."""
    saliency_maps: SaliencyMaps | None = SaliencyMaps()
    """Channel saliency maps."""
    saliency_distribution: SaliencyDistribution | None = SaliencyDistribution()
    """How saliency is shared among channels."""
    channel_ablation: ChannelAblation | None = ChannelAblation()
    """What a single channel is worth."""
    progressive_masking: ProgressiveMasking | None = ProgressiveMasking()
    """PSNR while channels are masked."""
    degradation_clusters: DegradationClusters | None = DegradationClusters()
    """Deep features by degradation."""
    feature_drop_sensitivity: FeatureDropSensitivity | None = FeatureDropSensitivity()
    """Dropping features at test time."""
    seal_distribution: SealDistribution | None = None
    """PSNR against SEAL's acceptance line (dataset Set14_SE)."""
    real_world: RealWorld | None = None
    """Real photographs side by side."""


class FigureStyle(Settings):
    """How figures look; a change redraws figures and report, nothing else."""

    font_size: Annotated[float, Field(ge=5, le=14)] = 8.0
    """Size of axis labels and titles in points."""
    width: Annotated[float, Field(gt=1, le=10)] = 3.35
    """Width of a one-column figure in inches; wide figures take twice that and the gutter."""
    dpi: Annotated[int, Field(ge=72, le=600)] = 200
    """Resolution of the PNG in dots per inch."""
    font_family: str = "DejaVu Sans"
    """Font of all text; one installed on this machine (DejaVu Sans comes with matplotlib)."""
    palette: Literal["okabe_ito", "tableau_colorblind"] = "okabe_ito"
    """Colour-blind-safe colours, one per model."""
