"""Looking inside a network: channel saliency, ablation and masking, representations, sensitivity.

Each module holds the functions of one analysis and a ``run_...`` that reads images and writes CSV.
"""
