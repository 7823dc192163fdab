"""A click on an example: what it fills in, and what it replaced."""

from __future__ import annotations

import gradio as gr

from demo.form.examples import EXAMPLES
from demo.studio.example_gallery import ExampleGallery
from demo.studio.generate import GenerationRunner
from tests.helpers.stand_in import Values


def test_an_example_fills_the_cards_and_what_it_replaced_is_kept(
    generation: GenerationRunner, values: Values, photo: str
) -> None:
    compose = generation.form.compose
    gallery = ExampleGallery(compose, EXAMPLES)
    gallery.next_seed = generation.form.settings.next_seed
    update = gallery._pick(gr.EventData(None, {"index": 1}), values | {compose.undo.stack: ()})
    assert update[compose.prompt] == EXAMPLES[1].prompt
    assert [update[card.name] for card in compose.cards][:1] == [EXAMPLES[1].toys[0][0]]
    assert update[gallery.next_seed] == EXAMPLES[1].seed
    (step,) = update[compose.undo.stack]
    first = compose.cards[0]
    assert (step.before[first.name._id], step.before[first.photos._id]) == ("cat", [photo])
    assert step.before[compose.prompt._id] == values[compose.prompt]
