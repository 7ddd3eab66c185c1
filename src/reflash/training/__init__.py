"""Training: where the pairs come from, the loop, its schedule and its resumable state.

``settings`` says everything that changes a run's result; ``trainer.train`` is the one entry point.
"""
