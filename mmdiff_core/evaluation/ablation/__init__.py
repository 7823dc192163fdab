"""Variants of the method and its peers, trained on one frozen base with the same samples, and judged alike."""
