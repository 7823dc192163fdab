from __future__ import annotations

import base64

import numpy as np
import torch

from demo.api.map_records import map_record, step_records
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps


def test_a_packed_map_keeps_its_values_to_a_255th_of_its_range() -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, (5, 7)).astype(np.float32)
    packed = map_record(values)
    data = np.frombuffer(base64.b64decode(packed["data"]), np.uint8).reshape(packed["h"], packed["w"])
    again = packed["lo"] + data * (packed["hi"] - packed["lo"]) / 255
    assert np.abs(again - values).max() <= (packed["hi"] - packed["lo"]) / 255


def test_a_flat_map_can_be_packed() -> None:
    packed = map_record(np.ones((2, 3), np.float32))
    assert (packed["lo"], packed["hi"]) == (1, 1)
    assert base64.b64decode(packed["data"]) == bytes(6)


def test_a_step_has_the_kinds_that_were_recorded() -> None:
    text, image = torch.rand(2, 4, 6).half(), torch.rand(2, 4, 6).half()
    records = (StepMaps(0, "a", (4, 6), {"text": text}), StepMaps(1, "a", (4, 6), {"text": text, "image": image}))
    maps = AttentionMaps(("cat", "robot"), records)
    assert set(step_records(maps, 0)) == {"text"}
    assert len(step_records(maps, 1)["image"]) == 2
