"""Where a prompt says that something is: places that the model does not know, and the nearest that it does."""

from __future__ import annotations

from collections.abc import Mapping

from demo.words.english import DETERMINERS, FUNCTION_WORDS
from mmdiff_core.encoders.name_matching import WORD, Span, fold
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases

# Before a place, beside those that the captions write before one.
_LINKS = frozenset(
    ("in", "on", "at", "over", "near", "inside", "outside", "through", "across", "above", "around", "beyond", "from")
)
_CITY = "city at night"
# What is like a background, by its name, in words that no caption has.
_ALIKE: Mapping[str, frozenset[str]] = {
    background: frozenset(words.split())
    for background, words in {
        "beach": "coast shore island bay harbour harbor pool lake river hawaii",
        "snow": "mountain mountains ice glacier arctic antarctica alps himalayas ski christmas igloo",
        "forest": "wood tree rainforest amazon cave swamp",
        "desert": "sahara egypt pyramid pyramids canyon savanna savannah dune africa",
        "meadow": "garden farm field countryside village hills valley lawn zoo playground",
        _CITY: "town street road skyline skyscraper bridge airport station mall shop market square tower office bar",
        "bedroom": "house bed room apartment hotel sofa couch living",
        "space": "mars planet galaxy universe orbit sky clouds moon",
        "kitchen": "restaurant cafe café bakery table oven diner",
        "under water": "aquarium reef ocean sea pond",
        "stage": "theatre theater concert disco circus club stadium cinema",
        "sunset": "sunrise dawn evening sky horizon",
        "volcano": "lava crater iceland",
        "autumn": "fall october leaves park",
    }.items()
}


def words_before(prompt: str, place: int) -> list[tuple[str, int]]:
    """Return up to three words before a place with their starts, the nearest first; only blanks are between."""
    found: list[tuple[str, int]] = []
    for match in reversed(list(WORD.finditer(prompt, 0, place))):
        if len(found) == 3 or not prompt[match.end() : place].isspace():
            break
        found.append((match.group(), match.start()))
        place = match.start()
    return found


def place_span(prompt: str, run: Span, known: KnownPhrases) -> Span | None:
    """Return the span of a phrase for a place that unknown words are in, such as "over New York".

    It begins with its preposition, and ends with a known word for places where one follows, as in "New York City".

    Args:
        prompt: without triggers.
        run: the span of unknown words that stand together.
        known: what the model was trained on.

    Returns:
        None where the words stand for no place.
    """
    links = _LINKS | known.place_prepositions
    loose = (DETERMINERS | FUNCTION_WORDS) - links
    link = next((match for match in words_before(prompt, run[0]) if fold(match[0]) not in loose), None)
    if link is None or fold(link[0]) not in links:
        return None
    after = WORD.search(prompt, run[1])
    follows = (
        after is not None and prompt[run[1] : after.start()].isspace() and fold(after.group()) in known.place_words
    )
    return link[1], after.end() if after is not None and follows else run[1]


def near_places(phrase: str, known: KnownPhrases) -> list[str]:
    """Return the known places, those first that are like an unknown one; a name counts as a city's.

    Args:
        phrase: of the unknown place, with its preposition.
        known: what the model was trained on.
    """
    link, *words = WORD.findall(phrase)
    plain = {fold(word) for word in words}
    names = list(known.vocabulary.backgrounds)

    def rank(name: str) -> tuple[bool, bool, bool]:
        is_alike = not plain.isdisjoint(_ALIKE.get(name, ()))
        is_city = name == _CITY and words[-1][:1].isupper()
        return not is_alike, not is_city, BACKGROUND_WORDS[name][0].split()[0] != fold(link)

    return [BACKGROUND_WORDS[name][0] for name in sorted(names, key=rank)]
