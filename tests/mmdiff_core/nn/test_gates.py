"""Gates of the image term: words bind their subjects, regions confine them, and the maps tell so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmdiff_core.nn.attention import attend, multimodal_attention
from mmdiff_core.nn.gates import Gate, region_gates, word_gates
from mmdiff_core.nn.map_recording import MapRequest, attention_maps
from mmdiff_core.nn.records import KeyValue
from mmdiff_core.types import Recording

B, H, L, S, N, T, WIDTH = 2, 2, 12, 2, 3, 5, 8
OWNERS = torch.arange(S).repeat_interleave(N)
WORDS = torch.tensor([[1, 3], [2, 4]])


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _stream(seed: int, tokens: int, null: bool = False) -> KeyValue:
    key, value = _drawn(seed, B, H, tokens + null, WIDTH), _drawn(seed + 1, B, H, tokens + null, WIDTH)
    if null:
        value[:, :, -1] = 0
    return KeyValue(key, value, torch.zeros(B, 1, 1, tokens + null))


QUERY, TEXT = _drawn(0, B, H, L, WIDTH), _stream(10, T)
OWNED = torch.stack([subject == OWNERS for subject in range(S)]).float()  # (S, K)
WATCH = MapRequest(WORDS[..., None], OWNED.expand(B, -1, -1), B, Recording())


@pytest.fixture(params=[True, False], ids=["null", "no_null"])
def image(request: pytest.FixtureRequest) -> KeyValue:
    return _stream(20, S * N, request.param)


def _gate(*open_pixels: range) -> Gate:
    """A binary gate for each subject."""
    gates = torch.zeros(B, S, L)
    for subject, pixels in enumerate(open_pixels):
        gates[:, subject, list(pixels)] = 1
    return Gate(gates, OWNERS)


def test_open_gates_change_nothing(image: KeyValue) -> None:
    free = multimodal_attention(QUERY, TEXT, image, WATCH)
    gated = multimodal_attention(QUERY, TEXT, image, WATCH, _gate(range(L), range(L)))
    assert torch.allclose(gated.output, free.output, atol=1e-6)
    for stream, maps in free.maps.items():
        assert torch.allclose(gated.maps[stream], maps, atol=1e-6)


def test_alone_inside_a_region_a_subject_has_all_of_the_image_term(image: KeyValue) -> None:
    """The first subject left, the second right, nobody in the middle."""
    gate = _gate(range(4), range(8, L))
    output = multimodal_attention(QUERY, TEXT, image, None, gate).output - attend(QUERY, TEXT)
    null = [N * S] if image.key.shape[2] > N * S else []
    for subject, pixels in enumerate((slice(0, 4), slice(8, L))):
        own = [n for n in range(N * S) if OWNERS[n] == subject] + null
        alone = attend(QUERY, KeyValue(image.key[:, :, own], image.value[:, :, own]))
        assert torch.allclose(output[:, :, pixels], alone[:, :, pixels], atol=1e-5)
    assert (output[:, :, 4:8] == 0).all()


def test_nothing_of_a_subject_is_recorded_outside(image: KeyValue) -> None:
    maps = multimodal_attention(QUERY, TEXT, image, WATCH, _gate(range(4), range(8, L))).maps
    for stream in ("image", "influence"):
        assert (maps[stream][:, 0, 4:] == 0).all()
        assert (maps[stream][:, 1, :8] == 0).all()
        assert (maps[stream][:, 0, :4] > 0).all()
    free = attention_maps(QUERY, TEXT, image, attend(QUERY, TEXT), WATCH)["text"]
    assert torch.equal(maps["text"], free)  # the words are looked at as ever


def test_a_half_open_gate_halves_a_single_subject() -> None:
    image = _stream(20, N)
    gate = Gate(torch.full((B, 1, L), 0.5), torch.zeros(N, dtype=torch.long))
    part = multimodal_attention(QUERY, TEXT, image, None, gate).output - attend(QUERY, TEXT)
    assert torch.allclose(part, 0.5 * attend(QUERY, image), atol=1e-6)


def test_maps_are_what_the_output_is_made_of(image: KeyValue) -> None:
    """Recorded image maps with soft gates: the mass of each subject's tokens in the gated sum."""
    gates = torch.rand(B, S, L, generator=torch.Generator().manual_seed(5))
    maps = multimodal_attention(QUERY, TEXT, image, WATCH, Gate(gates, OWNERS)).maps["image"]
    scores = QUERY @ image.key.transpose(-1, -2) * WIDTH**-0.5
    weights = scores.exp()
    weights[..., : S * N] *= gates[:, None, OWNERS].transpose(-1, -2)
    weights = weights / weights.sum(-1, keepdim=True) * gates.amax(1)[:, None, :, None]
    expected = torch.stack([weights[..., :N].sum(-1), weights[..., N : 2 * N].sum(-1)], dim=1).mean(2)
    assert torch.allclose(maps, expected, atol=1e-5)


def test_a_row_without_photos_stays_without(image: KeyValue) -> None:
    """The unguided half: its tokens are padding, whatever the gates say."""
    bias = image.bias.clone()
    if image.key.shape[2] > S * N:
        bias[0, ..., : S * N] = float("-inf")
    value = image.value.clone()
    value[0] = 0
    for gate in (_gate(range(4), range(8, L)), _gate(range(L), range(L))):
        output = multimodal_attention(QUERY, TEXT, KeyValue(image.key, value, bias), None, gate).output
        assert torch.equal(output[0], attend(QUERY, TEXT)[0])


# ---------------------------------------------------------------- words


def _looking(pixels: list[int], word: int) -> tuple[Tensor, KeyValue]:
    """A query in which these pixels look at a text token and the others elsewhere."""
    query, key = torch.zeros(1, 1, L, WIDTH), torch.zeros(1, 1, T, WIDTH)
    key[0, 0, word, 0], query[0, 0, pixels, 0] = 1, 12.0
    return query, KeyValue(key, torch.zeros_like(key))


def test_a_gate_is_open_where_the_word_is_seen() -> None:
    query, text = _looking([0, 1, 2], word=3)
    gates = word_gates(query, text, torch.tensor([[3, -1]]), 1.0)
    assert gates.shape == (1, 2, L)
    assert (gates[0, 0, :3] == 1).all()
    assert (gates[0, 0, 3:] < 0.3).all()
    assert (gates[0, 1] == 1).all()  # no word, no gate


def test_binding_opens_gates_gradually() -> None:
    query, text = _looking([0, 1, 2], word=3)
    words = torch.tensor([[3]])
    gates = [word_gates(query, text, words, binding)[0, 0, 5].item() for binding in (0.0, 0.5, 1.0)]
    assert gates[0] == 1
    assert gates[1] == pytest.approx((gates[0] + gates[2]) / 2)


def test_of_two_words_the_stronger_one_has_the_pixel() -> None:
    """Two maps that overlap nearly everywhere, which weights without constraints have."""
    query, key = torch.zeros(1, 1, L, WIDTH), torch.zeros(1, 1, T, WIDTH)
    key[0, 0, 1, 0], key[0, 0, 3, 1] = 1, 1
    query[..., 0], query[..., 1] = 3.0, 3.0
    query[0, 0, :6, 0] = query[0, 0, 6:, 1] = 4.0
    gates = word_gates(query, KeyValue(key, key), torch.tensor([[1, 3]]), 1.0)
    assert (gates[0, 0, :6] > 0.99).all()
    assert (gates[0, 1, 6:] > 0.99).all()
    assert (gates[0, 0, 6:] < 0.1).all()
    assert (gates[0, 1, :6] < 0.1).all()


def test_binding_moves_a_subjects_influence_to_its_word() -> None:
    """Image keys that pull everywhere alike: without binding the maps are flat, with it they follow the words."""
    query, key = torch.zeros(1, 1, L, WIDTH), torch.zeros(1, 1, T, WIDTH)
    key[0, 0, 1, 0], key[0, 0, 3, 1] = 1, 1
    query[0, 0, :6, 0] = query[0, 0, 6:, 1] = 9.0
    text = KeyValue(key, torch.ones_like(key))
    image = KeyValue(torch.zeros(1, 1, S * N, WIDTH), _drawn(3, 1, 1, S * N, WIDTH))
    words = torch.tensor([[1, 3]])
    request = MapRequest(words[..., None], OWNED[None], 1, Recording())
    free = multimodal_attention(query, text, image, request).maps
    assert torch.allclose(free["image"], torch.full_like(free["image"], 0.5))
    bound = multimodal_attention(query, text, image, request, Gate(word_gates(query, text, words, 1.0), OWNERS)).maps
    for stream in ("image", "influence"):
        for subject, (inside, outside) in enumerate(((slice(0, 6), slice(6, L)), (slice(6, L), slice(0, 6)))):
            assert bound[stream][0, subject, inside].min() > 5 * bound[stream][0, subject, outside].max()


# ---------------------------------------------------------------- regions


def test_a_region_is_read_at_every_size() -> None:
    regions = torch.zeros(1, 1, 4, 8)
    regions[..., 2:4] = 1
    assert region_gates(regions, (4, 8)).view(4, 8)[0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert region_gates(regions, (2, 4)).view(2, 4)[1].tolist() == [0, 1, 0, 0]
    assert region_gates(regions, (1, 2)).flatten().tolist() == [0.5, 0]
