"""The names of a world: everything that can be drawn, and what a model was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mmdiff_core.atomic_files import write_text
from mmdiff_core.errors import ModelError
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES, CLASS_NAMES
from mmdiff_core.toyworld.render.styles import STYLES
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUND_NAMES

FILE = "vocabulary.json"
_KEYS = {"classes": "nouns", "backgrounds": "places", "styles": "styles", "accessories": "accessories"}  # in the file


@dataclass(frozen=True)
class Vocabulary:
    """The classes, backgrounds, image styles and accessories from which scenes are drawn."""

    classes: tuple[str, ...]
    backgrounds: tuple[str, ...]
    styles: tuple[str, ...]
    accessories: tuple[str, ...] = ACCESSORIES

    def to_json(self) -> dict[str, tuple[str, ...]]:
        """Return the lists under the keys that ``vocabulary.json`` and the API use."""
        return {key: getattr(self, field) for field, key in _KEYS.items()}

    @classmethod
    def from_json(cls, values: dict[str, list[str]]) -> Vocabulary:
        """Undo :meth:`to_json`; raise TypeError for a missing or an unknown key."""
        fields = {key: field for field, key in _KEYS.items()}
        return cls(**{fields.get(key, key): tuple(map(str, words)) for key, words in values.items()})


WHOLE_WORLD = Vocabulary(CLASS_NAMES, BACKGROUND_NAMES, STYLES)

# What the first weights were trained on. Its scenes stay as those weights saw them.
FIRST_WORLD = Vocabulary(
    classes=(
        *("cat", "dog", "rabbit", "bear", "penguin", "frog", "elephant", "dinosaur"),
        *("robot", "car", "boat", "rocket"),
    ),
    backgrounds=("beach", "snow", "forest", "desert", "meadow", "city at night", "bedroom", "space"),
    styles=("photo",),
    accessories=("hat", "scarf"),
)


def load_vocabulary(folder: Path) -> Vocabulary:
    """Read the vocabulary of a model folder.

    Raises:
        ModelError: the file is missing or malformed, or it names something that cannot be drawn.
    """
    path = folder / FILE
    try:
        vocabulary = Vocabulary.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f'The file "{path}" cannot be read as the vocabulary of a model: it must hold the lists "nouns", "places", '
            f'"styles" and "accessories". Take it from the model\'s training run. ({error})'
        ) from error
    drawable = WHOLE_WORLD.to_json()
    for key, words in vocabulary.to_json().items():
        if unknown := [word for word in words if word not in drawable[key]]:
            raise ModelError(f'The file "{path}" names {key} that cannot be drawn: {", ".join(unknown)}.')
        if not words and key != "accessories":
            raise ModelError(f'The file "{path}" names no {key}: list at least one of {", ".join(drawable[key])}.')
    return vocabulary


def save_vocabulary(vocabulary: Vocabulary, folder: Path) -> None:
    """Write the vocabulary into a model folder, which is created if necessary."""
    text = json.dumps(vocabulary.to_json(), indent=2, ensure_ascii=False)
    write_text(folder / FILE, text + "\n")
