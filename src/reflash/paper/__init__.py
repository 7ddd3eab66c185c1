"""The paper's tables, figures and claims, made from the results of a study's runs.

``scores``, ``analyses`` and ``costs`` read and check the results; ``tables``, ``figures`` and
``claims`` are made from them; ``reference`` is what the paper says, with its evidence.
"""
