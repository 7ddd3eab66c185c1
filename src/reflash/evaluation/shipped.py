"""The weights that come with this package, for `reflash upscale` without any of your own."""

from __future__ import annotations

from pathlib import Path

from reflash.core.errors import ReflashError

WEIGHTS = Path(__file__).with_name("weights") / "upscale.safetensors"
"""Written by ``make record``, in 16-bit floats."""

_PAPER_ITERATIONS = 500_000


def shipped_weights(path: Path = WEIGHTS) -> tuple[Path, str]:
    """Return the weights that come with reflash, and what they are in a sentence.

    Raises
    ------
    ReflashError
        None come with this version, or the file does not say what it is.
    """
    if not path.is_file():
        raise ReflashError(
            "--weights: none come with this version of reflash; give a file (reflash weights fetch "
            "gets public ones), or bicubic"
        )
    from reflash.models.names import describe_model
    from reflash.models.weights import load_weights

    _, about = load_weights(path)
    try:
        run, iterations = str(about["run"]), int(about["iterations"])
        model = describe_model(run.rsplit("/", 1)[0])
    except (KeyError, ValueError, IndexError) as error:
        raise ReflashError(
            f"{path}: does not say what it is; install reflash again, or give --weights"
        ) from error
    return path, f"{model} after {iterations:,} of the paper's {_PAPER_ITERATIONS:,} iterations"
