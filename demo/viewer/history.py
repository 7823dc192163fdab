"""A session's finished pictures, for what is made of them on demand: a zip, or an animation."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from PIL import Image

from demo.form.prompt_words import PromptPiece
from demo.form.share_link import link_query, toy_of
from demo.server.limits import Limits, local_limits
from demo.server.sessions import claim
from demo.viewer.map_encoding import averaged_npz
from demo.viewer.reproduce import packed_command, packed_program, python_source, shell_command, start_name
from demo.viewer.saved_picture import PREVIEWS, restorable
from demo.web.cached_files import FileRecord, picture_file, previews_png
from mmdiff_core.encoders.name_matching import distinct_names
from mmdiff_core.encoders.photo_cache import PhotoCache, RequestCache
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.inspection.html_report import html_report
from mmdiff_core.inspection.map_files import write_token_maps
from mmdiff_core.inspection.report_texts import REPORT_TEXTS, ReportTexts
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_maps import SCALES, Scale, TokenMaps
from mmdiff_core.maps.heatmap import SUBJECT_COLOURS, HeatmapPalette, HeatmapStyle, colour_of
from mmdiff_core.output.animation import AnimationFormat, encode_animation, step_frames
from mmdiff_core.output.export import archive
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MAP_KINDS, MapKind
from mmdiff_core.weights.model_source import BUILT_IN_MODEL, ModelSource

if TYPE_CHECKING:
    from demo.viewer.frames import LinkRecord
    from demo.viewer.job import Job
    from mmdiff_core.results import Step

FORMATS: tuple[AnimationFormat, ...] = ("webp", "gif")


@dataclass(frozen=True)
class HistoryEntry:
    """A finished picture, a preview per step, its subjects' cards and photos, and the model that made it.

    ``photos`` are the names of files in a zip, ``files`` the paths of these files; ``sentence`` is the prompt in pieces
    and ``file`` the picture as a file of the page; ``unknown`` are the subjects' words that the model does not know;
    ``form`` is the fingerprint of the form that it was made with; ``start`` is the path of the picture that it
    starts from; ``tokens`` are the maps of an inspected prompt.
    """

    picture: GeneratedImage
    previews: tuple[Image.Image, ...]
    slots: tuple[int, ...]
    photos: tuple[tuple[str, ...], ...]
    files: tuple[tuple[str, ...], ...] = ()
    origin: ModelSource = BUILT_IN_MODEL
    sentence: tuple[PromptPiece, ...] = ()
    file: FileRecord | None = None
    unknown: tuple[str, ...] = ()
    form: str = ""
    start: str = ""
    tokens: TokenMaps | None = None

    @property
    def names(self) -> list[str]:
        """One per subject, no two alike."""
        return list(distinct_names([word.text for word in self.picture.words]))

    def claimed_file(self) -> FileRecord:
        """Return the picture's file, claimed with its photos for the session that is being served."""
        claim(*(path for own in self.files for path in own), *([self.start] if self.start else []))
        if self.file is None or not Path(self.file["path"]).is_file():
            return self.written_file()
        claim(self.file["path"])
        return self.file

    def written_file(self) -> FileRecord:
        """Write the picture as a file with its settings, the means of its maps, and its toys."""
        return picture_file(
            self.picture, averaged_npz(self.tokens or self.picture.maps), [toy_of(own) for own in self.files]
        )

    @property
    def colours(self) -> list[str]:
        """One per subject, that of its card."""
        return [colour_of(slot) for slot in self.slots]

    @property
    def map_bytes(self) -> int:
        """What the maps take in memory."""
        return sum(maps.nbytes for maps in (self.picture.maps, self.tokens) if maps is not None)

    @property
    def python(self) -> str:
        """The program that makes the picture again."""
        return python_source(self.picture.settings, self.photos, self.origin, start_name(self.start), self._recording)

    @property
    def shell(self) -> str:
        """The command that makes the picture again."""
        return shell_command(self.picture.settings, self.photos, self.origin, start_name(self.start), self._recording)

    @property
    def _recording(self) -> TokenRecording | None:
        """What was recorded of an inspected prompt; None where subjects were shown."""
        if self.tokens is None:
            return None
        return TokenRecording(concepts=self.tokens.concepts, per_head=bool(self.tokens.heads))

    @property
    def record(self) -> dict[str, Any]:
        """The settings and photos, as the fields take them."""
        settings = restorable(self.picture.settings)
        for subject, files in zip(settings.get("subjects", ()), self.files, strict=False):
            subject["photos"] = list(files)
        settings["start"] = [self.start] if self.start else []
        if self.tokens is not None:
            settings["concepts"] = ", ".join(self.tokens.concepts)
        return settings

    @property
    def link(self) -> LinkRecord | None:
        """The link that fills in the fields with all of it but the photos; None where these are not known."""
        if len(self.files) != len(self.picture.words):
            return None
        query, lacking = link_query(self.record, str(self.picture.settings["model"]))
        return {"query": query, "lacking": lacking, "start": bool(self.start)}

    def zipped(
        self,
        kind: MapKind,
        style: HeatmapStyle = SUBJECT_COLOURS,
        scale: Scale = "share",
        texts: ReportTexts = REPORT_TEXTS,
    ) -> bytes:
        """Return a zip of everything about the picture, and what makes it again: program, command and photos.

        Args:
            kind: of the subjects' maps.
            style: how they are drawn.
            scale: of the maps of an inspected prompt.
            texts: of the report of these maps.
        """
        notes: dict[str, str | bytes] = {
            "reproduce.py": packed_program(self.python),
            "reproduce.sh": packed_command(self.shell),
        }
        for names, files in zip(self.photos, self.files, strict=False):
            paths = zip(names, map(Path, files), strict=True)
            notes |= {name: path.read_bytes() for name, path in paths if path.is_file()}
        if self.start and Path(self.start).is_file():
            notes[start_name(self.start)] = Path(self.start).read_bytes()
        if self.previews:
            notes[PREVIEWS] = previews_png(self.previews)
        if self.tokens is not None:
            with tempfile.TemporaryDirectory() as folder:
                given = (self.picture.image, self.tokens, Path(folder), self._stem)
                written = write_token_maps(*given, scale=scale, texts=texts)
                notes |= {file.name: file.read_bytes() for file in written}
        return archive(self.picture, self.previews, kind, self.colours, notes, style)

    def token_file(self, suffix: str, scale: Scale = "share", texts: ReportTexts = REPORT_TEXTS) -> tuple[bytes, str]:
        """Return the maps of an inspected prompt as a file and its name: a report to read, or every number.

        Args:
            suffix: ``html`` or ``npz``.
            scale: that the report begins with.
            texts: of the report.

        Raises:
            SettingsError: the picture was made from photos.
        """
        if self.tokens is None:
            raise SettingsError("This picture has no maps of its words: choose Inspect a prompt, and make it again.")
        if suffix == "html":
            return html_report(self.picture.image, self.tokens, scale, texts).encode(), f"{self._stem}-report.html"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{self._stem}-maps.npz"
            self.tokens.to_npz(file)
            return file.read_bytes(), file.name

    @property
    def _stem(self) -> str:
        return f"mm-diff-{self.picture.seed}"

    def animation(self, kind: MapKind, file_format: AnimationFormat, style: HeatmapStyle = SUBJECT_COLOURS) -> bytes:
        """Return an animation of the picture's steps."""
        return encode_animation(step_frames(self.picture, self.previews, kind, self.colours, style), file_format)


class History:
    """The newest pictures of a session, by the names that the viewer gives them, and the photos that it has used.

    Args:
        limits: how many pictures, and how large their maps: those of a large model take a hundred megabytes a picture.
        max_pictures: how many pictures, in place of the limits' number.
        photos: those that the session has used before.
    """

    def __init__(
        self, limits: Limits | None = None, max_pictures: int | None = None, photos: PhotoCache | None = None
    ) -> None:
        limits = limits or local_limits()
        self._max_pictures, self._max_bytes = max_pictures or limits.history_pictures, limits.history_mb * 2**20
        self._entries: dict[str, HistoryEntry] = {}
        self.photos = RequestCache() if photos is None else photos
        self.job: Job[Step] | None = None  # the run that was started last

    @property
    def entries(self) -> Mapping[str, HistoryEntry]:
        """The pictures by their names, the oldest first."""
        return self._entries

    @property
    def is_busy(self) -> bool:
        """Whether a run of the session goes on."""
        return self.job is not None and not self.job.over

    def add(self, name: str, entry: HistoryEntry) -> None:
        """Add a picture; the oldest leave where there are too many or their maps are too large."""
        self._entries[name] = entry
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_pictures
            or sum(entry.map_bytes for entry in self._entries.values()) > self._max_bytes
        ):
            del self._entries[next(iter(self._entries))]

    def find(self, name: str) -> HistoryEntry | None:
        """Return a picture; None where it has left the history."""
        return self._entries.get(name)

    @property
    def newest(self) -> GeneratedImage | None:
        """The picture that was added last; None where there is none."""
        return next((entry.picture for entry in reversed(self._entries.values())), None)

    def get(self, name: object) -> HistoryEntry:
        """Return a picture.

        Raises:
            PhotoError: it has left the history, or was never in it.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise PhotoError("This picture's maps are no longer kept here: generate it again with the same seed.")
        return self._entries[name]


def heatmap_style(record: object) -> HeatmapStyle:
    """Read how a page draws its heatmaps; what it leaves out or gets wrong is as usual."""
    given = record if isinstance(record, Mapping) else {}
    usual = SUBJECT_COLOURS
    palette = next((name for name in get_args(HeatmapPalette) if name == given.get("palette")), usual.palette)
    opacity, threshold = (_fraction(given.get(name), getattr(usual, name)) for name in ("opacity", "threshold"))
    return HeatmapStyle(opacity, threshold, palette, bool(given.get("outline", usual.outline)))


def _fraction(value: object, usual: float) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else usual


def map_kind(name: object) -> MapKind:
    """Check the name of a kind of map that a page sent."""
    for kind in MAP_KINDS:
        if kind == name:
            return kind
    raise SettingsError(f"The kind of heatmap must be one of {', '.join(MAP_KINDS)}.")


def token_scale(name: object) -> Scale:
    """Check the name of a scale that a page sent."""
    for scale in SCALES:
        if scale == name:
            return scale
    raise SettingsError(f"The scale must be one of {', '.join(SCALES)}.")


def animation_format(name: object) -> AnimationFormat:
    """Check the name of a format of animation that a page sent."""
    for known in FORMATS:
        if known == name:
            return known
    raise SettingsError(f"The kind of file must be one of {', '.join(FORMATS)}.")
