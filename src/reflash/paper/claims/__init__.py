"""The paper's claims, tested on the runs of a study.

``texts.yaml`` says them in words, ``tests`` turns each into numbers with a verdict, from the arrays
of ``data`` and the intervals of ``bootstrap``; ``model`` is the content of claims.json.
"""
