"""What the paper claims, how sure that is, and what is tested in its place.

The text of the paper was not a source for this project: what it claims is known from the authors'
public files and from what others say about it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """One claim in words."""

    number: int
    """From 1."""
    name: str
    """Name of the function of ``claim_tests`` that tests it."""
    title: str
    """A few words."""
    statement: str
    """What is tested."""
    paper: str
    """What the paper says."""
    evidence: str
    """How sure that is."""


TEXTS = (
    Text(
        1,
        "sensitive_to_dropping",
        "Dropping features in the middle hurts",
        "PSNR of a network without dropout less that of the same network with dropout inside its "
        "body, mean over all such models of a setting (single: clean images; multi: mean of the "
        "eight degradations). And for networks trained without dropout: PSNR lost when some "
        "features are dropped at test time, and how much sooner it falls than a classifier's "
        "accuracy (area between the curves, each from its start to its end).",
        "Super-resolution, a regression, is sensitive to dropping features; dropout in the middle "
        "of a network hurts.",
        "claim: restated; values of its curves: not found",
    ),
    Text(
        2,
        "last_conv_helps",
        "Dropout before the last convolution helps in the multi setting",
        "PSNR with channel dropout before the last convolution less PSNR of the same network "
        "without. Single setting (clean images): it does not hurt by more than what matters. "
        "Multi setting (mean of the eight degradations): it helps. And: SRResNet with it less "
        "RRDB without, in the multi setting.",
        "Before the last convolution dropout does not hurt, and in the multi-degradation setting "
        "it helps clearly: one line brings more than ten times the parameters.",
        "claim: restated; sixteen PSNR values: digitised from the authors' bar chart; that they "
        "are of Set5, and the probabilities: inferred",
    ),
    Text(
        3,
        "channel_beats_element",
        "Channel-wise dropout is better than element-wise",
        "PSNR with channel dropout less PSNR with element dropout at the same place and "
        "probability, mean over all pairs before the last convolution (where a setting has none: "
        "over all pairs elsewhere).",
        "Channel-wise dropout is better than element-wise.",
        "claim: restated; values: not found",
    ),
    Text(
        4,
        "saliency_equalised",
        "Dropout equalises the channels",
        "Without dropout less with dropout before the last convolution, mean over the networks "
        "analysed: Gini coefficient of channel saliency; loss of PSNR by the worst single channel. "
        "With less without: normalised entropy of channel saliency; area under the masking curve "
        "(most salient channel first).",
        "Without dropout a few channels carry the result; with dropout their importance is "
        "equalised, so that removing one hardly matters.",
        "claim and method: seen in the authors' analysis code and restated; these four numbers "
        "are this project's way to measure it; values: not found",
    ),
    Text(
        5,
        "clusters_mix",
        "With dropout deep features separate degradations less",
        "Share by which the Calinski-Harabasz index (degradation as label) is lower with dropout "
        "before the last convolution than without, geometric mean over the networks analysed: in "
        "the plane (t-SNE; the embedding is kept while images are resampled), and on principal "
        "components (seeds only).",
        "Without dropout deep features cluster by degradation; with it the clusters mix (a lower "
        "index).",
        "direction: restated by three sources of the same group; one automatic summary says the "
        "opposite; values, images and layer: not found",
    ),
    Text(
        6,
        "cost_is_small",
        "Dropout is cheap",
        "Time of a training iteration with channel dropout before the last convolution beyond "
        "that without, as a share; memory likewise. At test time dropout is off.",
        "Nothing: the paper leaves the cost open.",
        "not found; the limit is this project's choice",
    ),
)
"""The claims in order."""
