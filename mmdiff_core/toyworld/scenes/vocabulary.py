"""What a world holds by name: everything that can be drawn, and what given weights were trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdiff_core.atomic_files import write_text
from mmdiff_core.errors import ModelError
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES, NOUNS
from mmdiff_core.toyworld.render.styles import STYLES
from mmdiff_core.toyworld.scenes.backgrounds import PLACES

FILE = "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """The nouns, places, picture styles and accessories from which scenes are drawn."""

    nouns: tuple[str, ...]
    places: tuple[str, ...]
    styles: tuple[str, ...]
    accessories: tuple[str, ...] = ACCESSORIES


WHOLE_WORLD = Vocabulary(NOUNS, tuple(PLACES), tuple(STYLES))

# What the first weights were trained on; scenes of it are drawn as they were for them.
FIRST_WORLD = Vocabulary(
    nouns=(
        *("cat", "dog", "rabbit", "bear", "penguin", "frog", "elephant", "dinosaur"),
        *("robot", "car", "boat", "rocket"),
    ),
    places=("beach", "snow", "forest", "desert", "meadow", "city at night", "bedroom", "space"),
    styles=("photo",),
    accessories=("hat", "scarf"),
)


def load_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a model folder.

    Raises:
        ModelError: the file is missing, is not of this form, or names what cannot be drawn.
    """
    path = folder / FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = Vocabulary(**{name: tuple(map(str, words)) for name, words in values.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f'The file "{path}" cannot be read as the vocabulary of a model: it must hold the lists "nouns", "places", '
            f'"styles" and "accessories". Take it from the model\'s training run. ({error})'
        ) from error
    for field, known in asdict(WHOLE_WORLD).items():
        words = getattr(vocabulary, field)
        if strange := [word for word in words if word not in known]:
            raise ModelError(f'The file "{path}" names {field} that cannot be drawn: {", ".join(strange)}.')
        if not words and field != "accessories":
            raise ModelError(f'The file "{path}" names no {field}: list at least one of {", ".join(known)}.')
    return vocabulary


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> None:
    """Write the vocabulary into a model folder, which is made if need be."""
    text = json.dumps(asdict(vocabulary), indent=2, ensure_ascii=False)
    write_text(folder / FILE, text + "\n")
