from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from demo.viewer.map_encoding import pack_averages, pack_maps
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from tests.helpers.packed_maps import unpacked

GENERATOR = torch.Generator().manual_seed(0)


def _maps() -> AttentionMaps:
    """Two steps, the first without an image map; two fine layers and a coarse one, the latter with its heads apart."""
    records = []
    for step in (0, 1):
        for layer, shape in (("a", (2, 4, 6)), ("b", (2, 4, 6)), ("c", (2, 3, 2, 3))):
            kinds = ("text", "image") if step else ("text",)
            kinds = {kind: torch.rand(shape, generator=GENERATOR).half() for kind in kinds}
            records.append(StepMaps(step, layer, shape[-2:], kinds))
    return AttentionMaps(("cat", "robot"), tuple(records))


def test_layers_of_one_size_are_one_group() -> None:
    maps = _maps()
    fine, coarse = pack_maps(maps, max_bytes=0)["kinds"]["text"]  # too heavy to keep heads apart
    assert [(fine[key], coarse[key]) for key in ("h", "w", "layers")] == [(4, 2), (6, 3), (2, 1)]
    of_a, of_b = (np.stack([maps.at(i, "text", 1, layer) for i in range(2)]) for layer in "ab")
    np.testing.assert_allclose(unpacked(fine)[1], (of_a + of_b) / 2, atol=1 / 255)
    np.testing.assert_allclose(unpacked(coarse)[0, 1], maps.at("robot", "text", 0, "c"), atol=1 / 255)


def test_light_maps_keep_layers_and_heads_apart() -> None:
    maps = _maps()
    groups = pack_maps(maps)["kinds"]["text"]
    assert [(group["layer"], group["layers"], group["heads"]) for group in groups] == [
        ("a", 1, 1),
        ("b", 1, 1),
        ("c", 1, 3),
    ]
    np.testing.assert_allclose(unpacked(groups[2])[1, 0, 2], maps.at("cat", "text", 1, "c", head=2), atol=1 / 255)
    averaged = AttentionMaps(maps.subjects, tuple(record for record in maps.records if record.layer != "c"))
    assert len(pack_maps(averaged)["kinds"]["text"]) == 1  # without heads there is nothing to keep apart


def test_other_words_are_packed_beside_the_subjects() -> None:
    maps = _maps()
    records = tuple(
        replace(record, kinds={**record.kinds, "words": torch.full((1, *record.size), 0.5).half()})
        for record in maps.records
    )
    packed = pack_maps(AttentionMaps(maps.subjects, records, ("beach",)))
    assert [group["heads"] for group in packed["kinds"]["words"]] == [1, 1, 1]
    np.testing.assert_allclose(unpacked(packed["kinds"]["words"][0]), 0.5)


def test_averages_are_those_of_the_whole_picture_and_of_other_words_where_they_are_wanted() -> None:
    maps = _maps()
    records = tuple(
        replace(record, kinds={**record.kinds, "words": torch.rand((1, *record.size), generator=GENERATOR).half()})
        for record in maps.records
    )
    maps = AttentionMaps(maps.subjects, records, ("beach",))
    packed = pack_averages(maps, words=True)
    for kind, names in (("text", maps.subjects), ("image", maps.subjects), ("words", ("beach",))):
        (group,) = packed["kinds"][kind]
        for i, name in enumerate(names):
            np.testing.assert_allclose(unpacked(group)[0, i], maps.at(name, kind), atol=1 / 255)
    assert "words" not in pack_averages(maps)["kinds"]


def test_a_delayed_step_has_no_image_map() -> None:
    maps = _maps()
    packed = pack_maps(maps)
    assert packed["steps"] == 2
    assert [group["steps"] for group in packed["kinds"]["image"]] == [[1], [1], [1]]


def test_the_newest_step_alone_counts_as_the_first() -> None:
    packed = pack_maps(_maps(), newest=True)
    assert packed["steps"] == 1
    assert [group["steps"] for group in packed["kinds"]["text"]] == [[0], [0], [0]]


def test_nothing_recorded_packs_to_nothing() -> None:
    assert pack_maps(AttentionMaps(("cat",))) == {"steps": 0, "kinds": {}}


def test_averages_are_one_map_per_kind_and_subject() -> None:
    maps = _maps()
    packed = pack_averages(maps)
    assert packed["steps"] == 1
    (group,) = packed["kinds"]["image"]
    assert (group["h"], group["w"], group["layers"], group["steps"]) == (4, 6, 3, [0])
    np.testing.assert_allclose(unpacked(group)[0, 1], maps.at("robot", "image"), atol=1 / 255)
    assert pack_averages(None) == pack_averages(AttentionMaps(("cat",))) == {"steps": 0, "kinds": {}}
