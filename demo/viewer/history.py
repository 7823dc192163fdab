"""This session's finished pictures, for what is made of them on demand: one zip, or an animated file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from demo.server.limits import Limits, local_limits
from demo.viewer.reproduce import python_source, shell_command
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.output.animation import AnimationFormat, encode_animation, step_frames
from mmdiff_core.output.export import archive
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MAP_KINDS, MapKind
from mmdiff_core.weights.model_source import BUILT_IN_MODEL, ModelSource, shown_name

FORMATS: tuple[AnimationFormat, ...] = ("webp", "gif")
RESTORED_SETTINGS = (
    "prompt", "negative_prompt", "seed", "steps", "guidance", "start_step", "width", "height", "parts",
    "sampler", "binding",
)  # fmt: skip


@dataclass(frozen=True)
class HistoryEntry:
    """A finished picture, its previews, one per step, its subjects' cards and photos, and the model that made it.

    ``photos`` are file names in a zip, ``files`` the files themselves.
    """

    picture: GeneratedImage
    previews: tuple[Image.Image, ...]
    slots: tuple[int, ...]
    photos: tuple[tuple[str, ...], ...]
    files: tuple[tuple[str, ...], ...] = ()
    origin: ModelSource = BUILT_IN_MODEL

    @property
    def colours(self) -> list[str]:
        """One per subject, that of its card."""
        return [colour_of(slot) for slot in self.slots]

    @property
    def weight(self) -> int:
        """Bytes of the maps."""
        records = self.picture.maps.records if self.picture.maps else ()
        return sum(maps.nbytes for record in records for maps in record.kinds.values())

    @property
    def python(self) -> str:
        """The program that makes the picture again."""
        return python_source(self.picture.settings, self.photos, self.origin)

    @property
    def shell(self) -> str:
        """The command that makes the picture again."""
        return shell_command(self.picture.settings, self.photos, self.origin)

    def zipped(self, kind: MapKind) -> bytes:
        """Everything about the picture in one zip, and how to make it again: program, command, and the photos."""
        notes: dict[str, str | bytes] = {"reproduce.py": self.python, "reproduce.sh": self.shell + "\n"}
        for names, files in zip(self.photos, self.files, strict=False):
            there = zip(names, map(Path, files), strict=True)
            notes |= {name: path.read_bytes() for name, path in there if path.is_file()}
        return archive(self.picture, self.previews, kind, self.colours, notes)

    def animation(self, map_kind: MapKind, kind: AnimationFormat) -> bytes:
        """The picture coming to be."""
        return encode_animation(step_frames(self.picture, self.previews, map_kind, self.colours), kind)


class History:
    """The newest pictures of one session, by the names that the viewer knows them by, and the photos it has seen.

    Args:
        limits: how many, and how heavy their maps may be; those of a large model weigh a hundred megabytes a picture.
        most: how many, if that is not for the limits to say.
        photos: those that the session has seen before.
    """

    def __init__(self, limits: Limits | None = None, most: int | None = None, photos: PhotoCache | None = None) -> None:
        limits = limits or local_limits()
        self._most, self._most_bytes = most or limits.history_pictures, limits.history_mb * 2**20
        self._kept: dict[str, HistoryEntry] = {}
        self.photos = PhotoCache() if photos is None else photos

    def add(self, name: str, kept: HistoryEntry) -> None:
        """Put a picture on the shelf; the oldest leave when there are too many or their maps weigh too much."""
        self._kept[name] = kept
        while len(self._kept) > 1 and (
            len(self._kept) > self._most or sum(kept.weight for kept in self._kept.values()) > self._most_bytes
        ):
            del self._kept[next(iter(self._kept))]

    def find(self, name: str) -> HistoryEntry | None:
        """A picture, None where it has left the shelf."""
        return self._kept.get(name)

    @property
    def newest(self) -> GeneratedImage | None:
        """The picture that came last; None where there is none."""
        return next((kept.picture for kept in reversed(self._kept.values())), None)

    def get(self, name: object) -> HistoryEntry:
        """A picture.

        Raises:
            PhotoError: it has left the shelf, or was never on it.
        """
        if not isinstance(name, str) or name not in self._kept:
            raise PhotoError("This picture's maps are no longer kept here: generate it again with the same seed.")
        return self._kept[name]


def map_kind(wish: object) -> MapKind:
    """The kind of map that a page asked for."""
    for kind in MAP_KINDS:
        if kind == wish:
            return kind
    raise SettingsError(f"The kind of heatmap must be one of {', '.join(MAP_KINDS)}.")


def animation_format(wish: object) -> AnimationFormat:
    """The kind of animated file that a page asked for."""
    for kind in FORMATS:
        if kind == wish:
            return kind
    raise SettingsError(f"The kind of file must be one of {', '.join(FORMATS)}.")


def restorable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of the settings inside a picture goes back into the fields.

    Photos are numbers there; a path that somebody wrote in is left out.
    """
    record = {name: settings[name] for name in RESTORED_SETTINGS if name in settings}
    subjects = settings.get("subjects")
    if isinstance(subjects, Sequence) and all(isinstance(subject, Mapping) for subject in subjects):
        record["subjects"] = [
            {"name": subject.get("name", ""), "strength": subject.get("strength"), "photos": 0} for subject in subjects
        ]
    return record


def restore_message(settings: Mapping[str, Any], refused: Sequence[str], model: str) -> str:
    """What to say of settings that went back into the fields.

    Args:
        settings: those inside the picture.
        refused: what of them no field can hold.
        model: that is loaded.
    """
    subjects = [subject for subject in settings.get("subjects") or () if isinstance(subject, Mapping)]
    beside = [what for what in ("region", "faces") if any(what in subject for subject in subjects)]
    missing = [*refused, *({"region": "regions", "faces": "chosen faces"}[what] for what in beside)]
    made_by, loaded = shown_name(str(settings.get("model", model))), model
    sentences = [
        "Prompt, names, strengths and settings are as they were"
        + (f", except for what the fields here cannot hold: {', '.join(missing)}." if missing else "."),
        f"The picture is of another model, “{made_by}”; here “{loaded}” is loaded." if made_by != loaded else "",
        "Photos are not inside a picture: the cards keep those they have; drop the others again."
        if subjects
        else "It was made without subjects: the cards stay as they are.",
    ]
    return " ".join(filter(None, sentences))
