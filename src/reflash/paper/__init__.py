"""The paper's tables and figures: what each declares, how its numbers are gathered and drawn.

``settings`` names the artefacts a study may ask for; ``tables`` and ``figures`` make them;
``reference`` holds what the paper says, with the evidence for every value.
"""
