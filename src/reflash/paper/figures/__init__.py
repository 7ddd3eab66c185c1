"""The paper's figures, one module each.

A figure ``NAME`` is a field of ``reflash.study.artefacts.Figures``, whose settings declare the
``inputs`` it reads, and a module ``NAME.py`` here with two functions::

    def gather(context: Context, settings: NameSettings, **inputs) -> Drawing: ...
    def draw(drawing: Drawing, style: FigureStyle) -> Figure: ...

``gather`` reads the declared inputs (by these names) and returns everything that is drawn as one
table with title, caption and alt text. ``draw`` sees nothing but that table, as it was read back
from ``NAME.csv``: anybody can redraw a figure from it. Nothing else has to know a new figure.

``drawing`` writes and reads a figure's files, ``make`` makes one from its inputs. Shared parts:
``style`` and ``reflash.mplstyle`` (sizes, fonts), ``looks`` (one look per model), ``lines``
(means with intervals), ``placements`` and ``positions`` (PSNR against dropout), ``images`` and
``channel_maps`` (grids of images).
"""
