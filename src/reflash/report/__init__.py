"""The results page: every claim, table and figure of a study at a scale, in one HTML file.

``page`` writes it; ``comparison`` holds the paper's main numbers against ours, ``claims`` verdicts.
"""
