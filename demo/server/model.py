"""What the page needs of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest, Size

if TYPE_CHECKING:
    from mmdiff_core.backbones.base import Backbone, Defaults
    from mmdiff_core.encoders.face import FaceAnalyser
    from mmdiff_core.generation.model_summary import ModelSummary
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.nn.adapter import MMDiffAdapter
    from mmdiff_core.weights.model_source import ModelSource


class Model(Protocol):
    """A :class:`mmdiff_core.pipeline.Personalizer`, as far as the page uses it."""

    @property
    def backbone(self) -> Backbone: ...
    @property
    def adapter(self) -> MMDiffAdapter | None: ...
    @property
    def faces(self) -> FaceAnalyser | None: ...
    @property
    def origin(self) -> ModelSource | None: ...
    @property
    def sizes(self) -> Size: ...
    @property
    def defaults(self) -> Defaults: ...
    @property
    def fast(self) -> Defaults | None: ...

    def anatomy(self, picture: tuple[int, int] | None = None) -> ModelSummary: ...
    def plan(self, request: GenerateRequest) -> Plan: ...
    def run(self, plan: Plan, photos: PhotoCache | None = None) -> Iterator[Step]: ...
