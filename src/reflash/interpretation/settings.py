"""What can be chosen about the analyses of trained networks; torch is not imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from reflash.core.settings import Settings
from reflash.degradations.settings import Kind
from reflash.evaluation.settings import no_value_twice

Layer = Annotated[
    str,
    Field(pattern=r"^(b[1-9][0-9]*|[A-Za-z_]\w*[A-Za-z_]\w*(\.\w+)*|[A-Za-z_]\w*(\.\w+)+)$"),
]
"""A layer: first, b1 and so on, hr (input of conv_hr), last (input of the last convolution), or in
a network of others a module by its dotted name; see ``reflash.models.layers``."""


class AnalysisSettings(Settings):
    """Saliency, ablation, masking, representations and test-time dropping of trained networks."""

    set: str | None = None
    """Test set analysed; null: the scale's first."""
    images: Annotated[int, Field(ge=1)] = 5
    """Images analysed by saliency, ablation, masking and dropping: the first of the set by name."""
    crop: Annotated[int, Field(ge=8)] | None = None
    """Side in LR pixels of the centre crop that these see; null: the whole image, as published."""
    border: Annotated[int, Field(ge=0)] = 0
    """Border in HR pixels left out of their PSNR: 0 as the authors' analysis code, 4 as tables."""
    kinds: Annotated[tuple[Kind, ...], Field(min_length=2), AfterValidator(no_value_twice)] = (
        "clean",
        "blur",
        "noise",
        "jpeg",
    )
    """Degradations whose representations are compared."""
    layers: Annotated[tuple[Layer, ...], Field(min_length=1), AfterValidator(no_value_twice)] = (
        "body",
        "last",
    )
    """Layers whose representations are compared: first, b1 and so on, hr, last, or body, the last
    block of whatever network (b16 of the paper's SRResNet)."""
    representation_set: str | None = None
    """Test set whose images' representations are compared, many for the sake of statistics; null:
    the analysed one."""
    representation_images: Annotated[int, Field(ge=2)] | None = 100
    """Images per degradation in the representations, the first by name; null: all of the set."""
    representation_crop: Annotated[int, Field(ge=4)] | None = 32
    """Side in LR pixels of their centre crop; null: the largest that all images have."""
    pca: Annotated[int, Field(ge=2)] = 300
    """Principal components kept before t-SNE (at most one less than there are samples)."""
    perplexity: Annotated[float, Field(ge=1)] = 30.0
    """Perplexity of t-SNE (at most a third of the samples)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of t-SNE, of random masking orders, of dropped features and of the small classifier."""
    masking_draws: Annotated[int, Field(ge=1)] = 5
    """Random orders in which channels are masked."""
    ratios: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(min_length=1),
        AfterValidator(no_value_twice),
    ] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Shares of the features that are dropped at test time."""
    sensitivity_draws: Annotated[int, Field(ge=1)] = 5
    """Random choices of the features dropped."""
    sensitivity_layer: Layer = "last"
    """Layer whose features are dropped."""
    sensitivity_dimension: Literal["channel", "element"] = "channel"
    """What is dropped together: a whole channel, or each element by itself."""
    sensitivity_rescale: bool = False
    """Scale up what is left, as a dropout layer kept on would; otherwise features are only lost."""
