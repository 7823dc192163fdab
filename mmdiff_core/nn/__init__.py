"""The components of MM-Diff (arXiv 2403.15059) in plain torch, one file per noun of the paper.

Letters of the shapes are those of :mod:`mmdiff_core.types`; d is the width of one head, D/H.
"""
