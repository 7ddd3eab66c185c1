"""The paper's tables, one module each, and how a table is written.

``registry`` finds a table by name; ``layout`` writes CSV, Markdown, LaTeX and JSON.
"""
