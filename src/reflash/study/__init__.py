"""The study as data: configuration, plan of runs and artefacts, files, provenance, DVC."""
