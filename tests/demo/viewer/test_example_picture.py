"""The finished example: written and read again, and the one that is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demo.form.examples import EXAMPLES
from demo.viewer.example_picture import example_frame, make_example, read_example, write_example
from tests.helpers.stand_in import StandIn


def test_an_example_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = make_example(StandIn(), EXAMPLES[0])  # type: ignore[arg-type]
    write_example(made, tmp_path)
    read = read_example(tmp_path)
    assert read is not None
    assert (read.picture.settings, read.picture.words) == (made.picture.settings, made.picture.words)
    assert (read.sentence, read.slots, len(read.previews)) == (made.sentence, (0, 1), 6)
    assert np.array_equal(np.asarray(read.picture.image), np.asarray(made.picture.image))
    assert made.picture.maps is not None
    assert read.picture.maps is not None
    for kind in made.picture.maps.kinds:
        assert np.array_equal(read.picture.maps.at(1, kind), made.picture.maps.at(1, kind))
    assert read.picture.maps.others == made.picture.maps.others


def test_the_shipped_example_has_heatmaps_and_needs_no_file_of_the_page() -> None:
    frame = example_frame()
    assert frame is not None
    assert frame["example"] is True
    assert str(frame["image"]).startswith("data:image/")
    assert [subject["name"] for subject in frame["subjects"]] == [noun for noun, _ in EXAMPLES[0].toys]
    assert {"text", "image", "influence", "words"} <= set(frame["maps"]["kinds"])
    assert frame["strip"] is not None


def test_a_page_without_the_example_begins_empty(tmp_path: Path) -> None:
    assert example_frame(tmp_path) is None
