"""DreamBench: 30 subjects, each in 25 prompts (Ruiz et al. 2022, arXiv 2208.12242, section 4).

A prompt says where the subject is, what it wears or lies on, or which property it has. The published prompts put a rare
word before the class; a tuning-free method has none, so these leave it out, as CLIP-T does.
"""

from __future__ import annotations

LIVE = ("cat", "dog")  # classes of living subjects; all others are objects

CLASSES = {
    **{f"dog{n}": "dog" for n in ("", 2, 3, 5, 6, 7, 8)},
    **{f"cat{n}": "cat" for n in ("", 2)},
    **{f"{animal}_plushie": "stuffed animal" for animal in ("bear", "grey_sloth", "wolf")},
    **dict.fromkeys(("duck_toy", "monster_toy", "poop_emoji", "rc_car", "robot_toy"), "toy"),
    **{f"{look}_sneaker": "sneaker" for look in ("colorful", "shiny")},
    **{name: name for name in ("backpack", "can", "candle", "clock", "teapot", "vase")},
    "backpack_dog": "backpack",
    "berry_bowl": "bowl",
    "fancy_boot": "boot",
    "pink_sunglasses": "glasses",
    "red_cartoon": "cartoon",
}

_SCENES = (
    *("in the jungle", "in the snow", "on the beach", "on a cobblestone street"),
    *("on top of pink fabric", "on top of a wooden floor"),
    *(f"with a {thing} in the background" for thing in ("city", "mountain", "blue house")),
    "on top of a purple rug in a forest",
)
_OBJECT_SCENES = (
    *(f"with {thing} in the background" for thing in ("a wheat field", "a tree and autumn leaves", "the Eiffel Tower")),
    *("floating on top of water", "floating in an ocean of milk"),
    *("on top of green grass with sunflowers around it", "on top of a mirror"),
    "on top of the sidewalk in a crowded street",
    *(f"on top of a {ground}" for ground in ("dirt road", "white rug")),
)
_OUTFITS = (
    *(f"wearing a {thing}" for thing in ("red hat", "santa hat", "rainbow scarf", "black top hat and a monocle")),
    *(f"in a {trade} outfit" for trade in ("chef", "firefighter", "police")),
    *(f"wearing {thing}" for thing in ("pink glasses", "a yellow shirt")),
    "in a purple wizard outfit",
)
_PROPERTIES = ("red", "purple", "shiny", "wet", "cube shaped")


def prompts_of(class_name: str, live: bool) -> tuple[str, ...]:
    """Return the 25 prompts of a subject of a class."""
    surroundings = (*_SCENES, *(_OUTFITS if live else _OBJECT_SCENES))
    return (*(f"a {class_name} {where}" for where in surroundings), *(f"a {word} {class_name}" for word in _PROPERTIES))


def pair_prompts(one: str, two: str) -> tuple[str, ...]:
    """Return prompts for two subjects, from the ten scenes that suit all. No pairs are published; these are ours."""
    return tuple(f"a {one} and a {two} {where}" for where in _SCENES)
