"""The paper's tables, figures and claims: what each declares, how its numbers are made and drawn.

``settings`` names the artefacts a study may ask for, ``inputs`` their files; ``tables``,
``figures`` and ``claims`` make them; ``reference`` holds what the paper says, with evidence.
"""
