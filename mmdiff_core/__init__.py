"""MM-Diff: tuning-free personalised image generation with a heatmap per subject (arXiv 2403.15059)."""
