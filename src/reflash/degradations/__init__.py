"""Making low-resolution images: the random degradation of training and the eight test kinds.

``second_order`` degrades training batches (torch); ``benchmark`` makes test sets (no torch).
"""
