"""The line from a request to pictures with their maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from os import PathLike

import torch

from mmdiff_core.attention_maps import AttentionMaps, Recorder
from mmdiff_core.backbones.base import Backbone, Defaults
from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.conditioning import build_condition, encode_photos
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.planning import Plan, defaults_of, plan_request
from mmdiff_core.sampling import Sample, sample
from mmdiff_core.types import Condition, GenerateRequest, Picture, Size, Step, SubjectEmbeddings


class Personalizer:
    """Makes pictures of the subjects in a person's photos.

    Holds a model and an adapter and nothing about any request: several generations may be advanced in turn.

    Args:
        backbone: the diffusion model.
        adapter: MM-Diff's weights for it; without them the model is the stock one and subjects are refused.
    """

    def __init__(self, backbone: Backbone, adapter: MMDiffAdapter | None = None) -> None:
        self.backbone = backbone
        self.adapter = adapter
        with torch.no_grad():
            self._weights = {} if adapter is None else adapter.weights(backbone.unet)  # merged once per load

    @classmethod
    def from_assets(cls, device: str | torch.device = "cpu") -> Personalizer:
        """The built-in Toybox model.

        Raises:
            ModelError: its files are missing.
        """
        return cls(*load_toybox(device=device))

    @classmethod
    def load(
        cls,
        model: str | PathLike[str] = "toybox",
        adapter: str | PathLike[str] | None = None,
        image_encoder: str | PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Personalizer:
        """The built-in model, or any Stable Diffusion 1.x or XL from a folder or the hub's cache, with an adapter.

        Raises:
            ModelError: something is missing; the message says how to get it.
            CheckpointError: the adapter does not fit the model.
        """
        return cls(*load_backbone(model, adapter, image_encoder, device, dtype))

    @property
    def sizes(self) -> Size:
        """The sizes that the model can make."""
        return self.backbone.sizes

    @property
    def defaults(self) -> Defaults:
        """Steps, guidance and delay of a request that leaves them open."""
        return defaults_of(self.backbone, self.adapter)

    def validate(self, request: GenerateRequest) -> Plan:
        """Read a request without doing any work; see ``planning.plan_request`` for the errors."""
        return plan_request(request, self.backbone, self.adapter)

    def generate(self, request: GenerateRequest) -> Iterator[Step]:
        """Make one picture per seed, a step at a time; closing the iterator cancels.

        A request that cannot be met raises here, before the first step; see ``validate``.
        """
        return self._steps(self.validate(request))

    @torch.no_grad()
    def _steps(self, plan: Plan) -> Iterator[Step]:
        subjects = self._embed(plan)
        personal = self._condition(plan, subjects)
        plain = self._condition(plan, None) if plan.numbers.start_step else personal
        pictures: tuple[Picture, ...] = ()
        seeds = plan.request.seeds
        for index, seed in enumerate(seeds):
            for state in self._sample(plan, seed, plain, personal):
                picture = self._picture(plan, seed, state) if state.step == state.steps else None
                pictures += (picture,) if picture else ()
                yield Step(
                    picture_index=index,
                    picture_count=len(seeds),
                    step=state.step,
                    steps=state.steps,
                    preview=self.backbone.preview(state.clean),
                    maps=state.maps,
                    picture=picture,
                    result=pictures if len(pictures) == len(seeds) else None,
                )

    def _embed(self, plan: Plan) -> SubjectEmbeddings | None:
        """photos -> features (CLS, patches) -> subject embeddings (text width, refined)"""
        if self.adapter is None or self.backbone.image_encoder is None or not plan.subjects:
            return None
        return self.adapter.embed(encode_photos(self.backbone.image_encoder, plan.subjects))

    def _condition(self, plan: Plan, subjects: SubjectEmbeddings | None) -> Condition:
        """prompt and subjects -> the one frozen record; without subjects the plain text and no image term"""
        return build_condition(
            self.backbone,
            self.adapter,
            self._weights,
            plan.tokens,
            subjects,
            torch.tensor([[subject.strength for subject in plan.subjects]]),
            size=(plan.numbers.width, plan.numbers.height),
            negative=plan.negative,
        )

    def _sample(self, plan: Plan, seed: int, plain: Condition, personal: Condition) -> Iterator[Sample]:
        """One picture's denoising, with its maps if they are asked for and there is a subject to show"""
        recording = plan.request.recording if plan.subjects else None
        recorder = None if recording is None else Recorder(recording)
        maps = None if recording is None else AttentionMaps(plan.names)
        return sample(self.backbone, plain, personal, replace(plan.numbers, seed=seed), recorder, maps)

    def _picture(self, plan: Plan, seed: int, state: Sample) -> Picture:
        """latents -> the finished picture with everything needed to make it again"""
        image = self.backbone.decode(state.latents)[0]
        return Picture(image, seed, state.maps, plan.words, self._settings(plan, seed))

    def _settings(self, plan: Plan, seed: int) -> dict[str, object]:
        subjects = [
            {"name": subject.name, "strength": subject.strength, "photos": len(subject.photos)}
            for subject in plan.subjects
        ]
        return {
            "model": self.backbone.name,
            "prompt": plan.request.prompt,
            "negative_prompt": plan.request.negative_prompt,
            "subjects": subjects,
            **asdict(replace(plan.numbers, seed=seed)),
        }
