"""The two networks of the paper, where dropout may sit in them, and their weights.

``build_network(settings, dropout)`` makes a network, ``load_network(path)`` reads one, and
``insert_dropout(model, ...)`` adds the paper's one layer to any super-resolution model.
"""
