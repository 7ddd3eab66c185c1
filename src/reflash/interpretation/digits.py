"""A small classifier, trained in seconds on scikit-learn's handwritten digits.

It stands for high-level vision beside super-resolution: what does it lose when features drop?
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reflash.core.keys import key_seed, numpy_generator

NAME = "digits_cnn"
"""What tables call the classifier."""

_EPOCHS = 12
_BATCH = 64
_TEST_SHARE = 3


class DigitClassifier(nn.Module):
    """conv - ReLU - conv - ReLU - max pool (the features) - linear, without dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.head = nn.Linear(64 * 4 * 4, 10)

    def features(self, images: Tensor) -> Tensor:
        """Map (B, 1, 8, 8) in [0, 1] to the last features before the output, (B, 64, 4, 4)."""
        return F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(images)))), 2)

    def classify(self, features: Tensor) -> Tensor:
        """Map (B, 64, 4, 4) to the scores of ten classes, (B, 10)."""
        scores: Tensor = self.head(features.flatten(1))
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 1, 8, 8) in [0, 1] to the scores of ten classes, (B, 10)."""
        return self.classify(self.features(images))


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) float in [0, 1] with labels (N,) int64."""

    images: Tensor
    labels: Tensor


def load_digits(seed: int) -> tuple[Digits, Digits]:
    """Return the 1797 digits of scikit-learn, divided by ``seed``: two thirds train, one tests."""
    from sklearn.datasets import load_digits as bundled

    data = bundled()
    order = numpy_generator(seed, "digits").permutation(len(data.target))
    images = torch.from_numpy((data.images[order] / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(data.target[order].astype(np.int64))
    tested = len(order) // _TEST_SHARE
    return Digits(images[tested:], labels[tested:]), Digits(images[:tested], labels[:tested])


def train_classifier(train: Digits, seed: int) -> DigitClassifier:
    """Return a trained classifier in evaluation mode, a function of the data and ``seed`` alone.

    One thread does it: several would wait for each other, and round differently. The global
    random state and number of threads are left as they were.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _trained(train, seed)
    finally:
        torch.set_num_threads(threads)


def _trained(train: Digits, seed: int) -> DigitClassifier:
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(key_seed(seed, "digits", "weights"))
        model = DigitClassifier()
        optimiser = torch.optim.Adam(model.parameters(), 2e-3)
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(train.labels)).split(_BATCH):
                loss = F.cross_entropy(model(train.images[batch]), train.labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return model.eval()
