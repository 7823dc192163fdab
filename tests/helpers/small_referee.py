"""A referee so small that it is trained and asked in a second."""

from __future__ import annotations

from mmdiff_core.referee.network import RefereeConfig
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("cat", "dog", "robot"), ("beach", "snow"), ("photo",), ())
CONFIG = RefereeConfig(
    classes=VOCABULARY.classes,
    backgrounds=VOCABULARY.backgrounds,
    styles=VOCABULARY.styles,
    size=64,
    photo_size=64,
    widths=(8, 8, 8, 8),
    features=8,
    embedding=8,
)
