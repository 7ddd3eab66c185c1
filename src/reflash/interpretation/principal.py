"""Principal components of few samples with very many features, in bounded memory."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reflash.core.files import explained

COLUMN_BYTES = 256 * 2**20
"""Bytes of features that are in memory at a time while samples are compared."""


class FeatureFile:
    """A matrix (samples, features) of 32-bit floats in a temporary file, written row by row.

    The representations of a hundred images in eight kinds take gigabytes at the paper's size. The
    file lies where ``tempfile`` puts it (the environment variable TMPDIR moves it) and is gone
    with the object.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._samples = 0
        self._features = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add samples, (n, features) float32.

        Raises
        ------
        ReflashError
            The disk is full.
        """
        try:
            self._file.write(np.ascontiguousarray(rows, np.float32).data)
            self._file.flush()
        except OSError as error:
            raise explained(error, tempfile.gettempdir()) from error
        self._samples += rows.shape[0]
        self._features = rows.shape[1]

    def matrix(self) -> NDArray[np.float32]:
        """Return all samples as an array that the operating system reads from the file."""
        return np.memmap(self._file, np.float32, mode="r", shape=(self._samples, self._features))


def principal_components(features: NDArray[np.float32], components: int) -> NDArray[np.float64]:
    """Return the samples' coordinates on their first principal components.

    From the eigenvectors of the samples' centred Gram matrix: exact, so nothing is random, and
    memory is bounded by samples squared and ``COLUMN_BYTES``. In each component the entry of
    largest magnitude is positive.

    Parameters
    ----------
    features : (samples, features) float
        May be mapped from a file.
    components : int
        At most samples - 1 are returned, the dimension of centred samples.

    Returns
    -------
    (samples, min(components, samples - 1)) float64, largest variance first
    """
    samples, width = features.shape
    gram = np.zeros((samples, samples))
    step = max(1, COLUMN_BYTES // (8 * samples))
    for start in range(0, width, step):
        block = features[:, start : start + step].astype(np.float64)
        block -= block.mean(0)
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    kept = slice(None, -min(components, samples - 1) - 1, -1)
    scores = vectors[:, kept] * np.sqrt(values[kept].clip(0))
    largest = np.abs(scores).argmax(0)
    signs = np.where(scores[largest, np.arange(scores.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(scores * signs)
