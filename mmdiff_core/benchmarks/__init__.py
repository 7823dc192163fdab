"""What the figures about speed are made with: ``python -m mmdiff_core benchmark``."""
