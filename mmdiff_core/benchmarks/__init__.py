"""Measurements of speed and memory: ``python -m mmdiff_core benchmark``, ``presets`` and ``dryrun``."""
