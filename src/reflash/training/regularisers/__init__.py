"""Regularisers beside dropout, a file each, called by the file's name in a model's third part.

A file holds a `reflash.training.regulariser.Regulariser` and its ``build``, the factory that a
scale's own regularisers have as well. A run that uses one depends on its file, other runs do not.
"""
