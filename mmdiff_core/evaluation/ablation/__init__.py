"""Variants of the method and two baselines, trained on one frozen base with the same samples, and judged alike."""
