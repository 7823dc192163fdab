"""Attention maps as values: what a forward recorded, and the maps of a whole image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import IO, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.maps.npz_reading import check_maps, named_shape_errors, read_npz
from mmdiff_core.nn.records import Condition, LayerMaps
from mmdiff_core.types import MAP_KINDS, MapKind, Recording


class Recorder:
    """Collects the maps of one forward at a time.

    Sealed after a forward, so that the replay of a gradient-checkpointed layer adds nothing. The maps keep their
    gradient; a constraint loss reads them from ``layers``.

    Args:
        recording: what to record.
        shared_scores: compute output and maps from one set of scores instead of a fused kernel and the scores beside
            it: for training, which needs the gradients of both.
    """

    def __init__(self, recording: Recording | None = None, shared_scores: bool = False) -> None:
        self.recording, self.shared_scores = recording or Recording(), shared_scores
        self._layers: list[LayerMaps] = []
        self._open = False

    def begin_step(self, step: int = 0) -> None:
        """Forget the last forward and open for the next. ``step`` counts from 0."""
        self.step = step
        self._layers = []
        self._open = True

    def add(self, maps: LayerMaps) -> None:
        """Add a layer's maps; the attention processors call this. Ignored when sealed."""
        if self._open:
            self._layers.append(maps)

    def take_keys(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        """Take what a layer's text attention is made of; for recorders that keep more of it than subjects' maps.

        Args:
            path: of the layer.
            size: (h, w) of its hidden states.
            query: (R, H, h * w, d) of the conditional rows.
            key: (R, H, T, d) of the text.
        """

    def take_self_keys(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        """Take what a self-attention layer is made of; see :meth:`take_keys`, but the key is (R, H, h * w, d)."""

    def seal(self) -> tuple[LayerMaps, ...]:
        """Close after a forward; returns its maps in the order of the layers."""
        self._open = False
        return self.layers

    @property
    def layers(self) -> tuple[LayerMaps, ...]:
        """Return the maps of the last forward, as the processors made them."""
        return tuple(self._layers)


@dataclass(frozen=True)
class StepMaps:
    """The maps of one step on the host: ``kinds[kind]`` is (S, h, w) or (S, H, h, w) float16."""

    step: int  # 0-based
    layer: str
    size: tuple[int, int]
    kinds: Mapping[MapKind, Tensor]


@dataclass(frozen=True)
class AttentionMaps:
    """Where an image's subjects were, per step and layer. Immutable: a later step makes a new value.

    ``subjects`` are the words that stand for them, in the order of the request; ``others`` are the prompt's other
    words, if they were recorded, in the order of the prompt: theirs are of the kind ``words``. ``photos`` are subject
    and number of each photo that was recorded by itself: its map, or those of its tokens, are of the kind ``photos``.
    """

    subjects: tuple[str, ...]
    records: tuple[StepMaps, ...] = ()
    others: tuple[str, ...] = ()
    photos: tuple[tuple[int, int], ...] = ()

    def with_step(self, step: int, layers: Sequence[LayerMaps], condition: Condition) -> AttentionMaps:
        """Return these maps and those of one more step, as float16 on the host.

        Args:
            step: counted from 0.
            layers: the maps of one forward, each (B, S, h, w) or (B, S, H, h, w).
            condition: of that forward, with one conditional row. Without subjects only the text map tells something.
        """
        kept = [maps if condition.subjects is not None else _text_only(maps) for maps in layers]
        hosted = _on_host([maps.kinds for maps in kept])
        new = (StepMaps(step, maps.layer, maps.size, kinds) for maps, kinds in zip(kept, hosted, strict=True))
        return replace(self, records=(*self.records, *new))

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the recorded steps, counted from 0."""
        return tuple(sorted({record.step for record in self.records}))

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """Return the size (h, w) of every recorded layer, in the order of the network."""
        return {record.layer: record.size for record in self.records}

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """Return the kinds of map that were recorded of the subjects."""
        found = dict.fromkeys(kind for record in self.records for kind in record.kinds)
        return tuple(kind for kind in found if kind not in ("words", "photos"))

    @property
    def nbytes(self) -> int:
        """Return the memory that the maps take, in bytes."""
        return sum(x.nbytes for record in self.records for x in record.kinds.values())

    @property
    def size(self) -> tuple[int, int]:
        """Return (h, w) of the finest recorded layer."""
        return max(self.layers.values(), key=lambda size: size[0] * size[1])

    def at(
        self,
        subject: int | str,
        kind: MapKind,
        step: int | None = None,
        layer: str | None = None,
        head: int | None = None,
    ) -> np.ndarray:
        """Return one map (h, w) float32: of a step and a layer, or averaged over those left open.

        Layers are enlarged bilinearly to the finest one before they are averaged; a single layer keeps its own size.
        Steps without that kind (the delayed ones have no image term) do not count; where none has it the map is 0.

        Args:
            subject: its number or its word; with ``words`` that of one of the ``others``.
            kind: ``text``, ``image``, ``influence`` or ``words``.
            step: counted from 0.
            layer: a key of ``layers``.
            head: one head of maps recorded per head; else the mean over heads.

        Raises:
            KeyError: there is no such subject, step or layer, or nothing was recorded.
        """
        names = self.others if kind == "words" else self.subjects
        index = subject if isinstance(subject, int) else (*names, subject).index(subject)
        chosen = self._chosen(step, layer)
        if not chosen or not 0 <= index < len(names):
            raise KeyError(f"No {kind} map of subject {subject!r} at step {step}, layer {layer}.")
        size = self.size if layer is None else self.layers[layer]
        found = [_head(record.kinds[kind][index], head) for record in chosen if kind in record.kinds]
        return (average_maps(found, size) if found else torch.zeros(size)).numpy()

    def photo_at(
        self,
        subject: int | str,
        photo: int,
        token: int | None = None,
        step: int | None = None,
        layer: str | None = None,
        head: int | None = None,
    ) -> np.ndarray:
        """Return the image map (h, w) float32 of one photo of a subject, or of one of its tokens; see :meth:`at`.

        Args:
            subject: its number or its word.
            photo: counted from 0; a face where the adapter reads faces.
            token: counted from 0, where they were recorded apart; None: all of the photo.
            step, layer, head: as of :meth:`at`.

        Raises:
            KeyError: it was not recorded.
        """
        index = subject if isinstance(subject, int) else (*self.subjects, subject).index(subject)
        chosen = self._chosen(step, layer)
        rows = next((len(r.kinds["photos"]) for r in self.records if "photos" in r.kinds), 0)
        if not chosen or not rows or (index, photo) not in self.photos:
            raise KeyError(f"No map of photo {photo} of subject {subject!r} at step {step}, layer {layer}.")
        each = rows // len(self.photos)
        if token is not None and (each == 1 or not 0 <= token < each):
            raise KeyError(f"No map of token {token}: {each} were recorded of each photo, as Recording.per_token says.")
        first = self.photos.index((index, photo)) * each
        places = range(first, first + each) if token is None else [first + token]
        maps = [_head(r.kinds["photos"][p].float(), head) for r in chosen if "photos" in r.kinds for p in places]
        size = self.size if layer is None else self.layers[layer]
        return (average_maps(maps, size) * len(places) if maps else torch.zeros(size)).numpy()

    def _chosen(self, step: int | None, layer: str | None) -> list[StepMaps]:
        return [r for r in self.records if step in (None, r.step) and layer in (None, r.layer)]

    def to_npz(self, path: str | PathLike[str] | IO[bytes]) -> None:
        """Write every map, compressed: ``<kind>/<layer>`` (steps, S, h, w) float16, with ``steps`` and ``subjects``.

        A step without that kind is NaN. ``others`` are the words of ``words/<layer>``. ``photos`` (photos, 2) are
        subject and number of the photos of ``photos/<layer>``, which has a row for each, or for each of their tokens.
        """
        arrays: dict[str, np.ndarray] = {"subjects": np.array(self.subjects), "steps": np.array(self.steps)}
        kinds: tuple[MapKind, ...] = self.kinds
        if self.others:
            arrays["others"] = np.array(self.others)
            kinds = (*kinds, "words")
        if self.photos:
            arrays["photos"] = np.array(self.photos)
            kinds = (*kinds, "photos")
        for layer in self.layers:
            for kind in kinds:
                arrays[f"{kind}/{layer}"] = self._over_steps(kind, layer)
        np.savez_compressed(path, allow_pickle=False, **arrays)

    @classmethod
    def from_npz(cls, file: str | PathLike[str] | bytes) -> AttentionMaps:
        """Read what :meth:`to_npz` wrote, from a path or from what is in the file.

        Raises:
            SettingsError: it wrote something else.
        """
        arrays = read_npz(file)
        with named_shape_errors():
            subjects, others = (tuple(map(str, arrays.get(name, ()))) for name in ("subjects", "others"))
            photos = tuple((int(subject), int(photo)) for subject, photo in arrays.get("photos", ()))
            rows: dict[str, int | None] = {
                **dict.fromkeys(MAP_KINDS, len(subjects)),
                "words": len(others),
                "photos": None,
            }
            found: dict[tuple[int, str], dict[MapKind, Tensor]] = {}
            for name, values in arrays.items():
                kind, _, layer = name.partition("/")
                if layer and values.ndim > 2:
                    check_maps(values, len(arrays["steps"]), rows[kind])
                    for step, maps in zip(arrays["steps"], values, strict=True):
                        if not np.isnan(maps).all():
                            found.setdefault((int(step), layer), {})[cast(MapKind, kind)] = torch.from_numpy(maps)
        records = [StepMaps(step, layer, _size_of(kinds), kinds) for (step, layer), kinds in found.items()]
        return cls(subjects, tuple(sorted(records, key=lambda record: record.step)), others, photos)

    def averaged(self, side: int) -> AttentionMaps:
        """Return one map for each kind and row, over all steps, layers and heads, of at most ``side`` pixels a side."""
        if not self.records:
            return self
        kinds: dict[MapKind, Tensor] = {}
        for kind, names in [*((kind, self.subjects) for kind in self.kinds), ("words", self.others)]:
            if names:
                maps = np.stack([self.at(row, kind) for row in range(len(names))])
                kinds[kind] = shrunk(torch.from_numpy(maps), side).half()
        return AttentionMaps(self.subjects, (StepMaps(0, "all", _size_of(kinds), kinds),), self.others)

    def _over_steps(self, kind: MapKind, layer: str) -> np.ndarray:
        by_step = {r.step: r.kinds[kind] for r in self.records if r.layer == layer and kind in r.kinds}
        blank = torch.full_like(next(iter(by_step.values())), torch.nan) if by_step else torch.zeros(0)
        return torch.stack([by_step.get(step, blank) for step in self.steps]).numpy()


def _size_of(kinds: Mapping[MapKind, Tensor]) -> tuple[int, int]:
    height, width = next(iter(kinds.values())).shape[-2:]
    return int(height), int(width)


def shrunk(maps: Tensor, side: int) -> Tensor:
    """Return maps (..., h, w) with at most ``side`` pixels a side, each the mean of those in its place."""
    height, width = maps.shape[-2:]
    factor = max(1, -(-max(height, width) // side))
    return F.adaptive_avg_pool2d(maps, (-(-height // factor), -(-width // factor)))


def _text_only(maps: LayerMaps) -> LayerMaps:
    return replace(maps, kinds={kind: values for kind, values in maps.kinds.items() if kind in ("text", "words")})


def _on_host(layers: Sequence[Mapping[MapKind, Tensor]]) -> list[dict[MapKind, Tensor]]:
    """Return one row of every map of every layer; see :func:`to_host`."""
    rows = iter(to_host([maps[0] for kinds in layers for maps in kinds.values()]))
    return [{kind: next(rows) for kind in kinds} for kinds in layers]


def to_host(maps: Sequence[Tensor]) -> list[Tensor]:
    """Return maps of any shapes in float16 on the host, copied in one go."""
    if not maps:
        return []
    flat = torch.cat([x.detach().flatten() for x in maps]).to(torch.float16).cpu()
    parts = flat.split_with_sizes([x.numel() for x in maps])
    return [part.view(x.shape) for part, x in zip(parts, maps, strict=True)]


def _head(maps: Tensor, head: int | None) -> Tensor:
    """Return (h, w) from (h, w) or from (H, h, w)."""
    if maps.ndim == 2:
        return maps
    return maps.mean(0) if head is None else maps[head]


def average_maps(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return the mean of maps (..., h, w) of several sizes as float32 (..., height, width), enlarged bilinearly."""
    by_size: dict[tuple[int, ...], list[Tensor]] = {}
    for each in maps:
        by_size.setdefault(tuple(each.shape[-2:]), []).append(each.float())
    return torch.stack([_enlarge(torch.stack(alike).sum(0), size) for alike in by_size.values()]).sum(0) / len(maps)


def _enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge (..., h, w) to ``size``, bilinear."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    flat = maps.reshape(1, -1, *maps.shape[-2:])
    return F.interpolate(flat, size, mode="bilinear").reshape(*maps.shape[:-2], *size)
