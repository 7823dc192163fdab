"""The line from a request to pictures with their maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from os import PathLike

import torch
from diffusers import DiffusionPipeline

from mmdiff_core.backbones.base import Backbone, Defaults
from mmdiff_core.backbones.loading import check_adapter
from mmdiff_core.backbones.placement import Memory, merged_weights
from mmdiff_core.backbones.registry import backbone_class, load_backbone
from mmdiff_core.backbones.stable_diffusion import wrap_stock
from mmdiff_core.backbones.toybox import is_toybox, load_toybox
from mmdiff_core.encoders.face import FaceAnalyser, InsightFaces, token_weights
from mmdiff_core.encoders.photo_cache import PhotoMemory
from mmdiff_core.errors import ModelError
from mmdiff_core.generation.conditioning import build_condition, encode_people, encode_photos, weigh
from mmdiff_core.generation.model_summary import Anatomy, dissect
from mmdiff_core.generation.regions import describe_region
from mmdiff_core.generation.request_plan import Plan, defaults_of, describe_choices, plan_request
from mmdiff_core.generation.sampling import Sample, sample
from mmdiff_core.generation.stock_pipeline import Attachment, Conditions
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import Condition, SubjectEmbeddings
from mmdiff_core.numeric_checks import memory_faults
from mmdiff_core.results import Picture, Step
from mmdiff_core.types import GenerateRequest, Size
from mmdiff_core.weights.model_source import BUILT_IN, ModelSource


class Personalizer:
    """Makes pictures of the subjects in a person's photos.

    Holds a model and an adapter and nothing about any request: several generations may be advanced in turn.

    Args:
        backbone: the diffusion model.
        adapter: MM-Diff's weights for it; without them the model is the stock one and subjects are refused.
        faces: finds faces in photos, for adapters of the face variant; ``insightface`` by default.
        origin: how to load the same again; None for parts that were put together elsewhere.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapter: MMDiffAdapter | None = None,
        faces: FaceAnalyser | None = None,
        origin: ModelSource | None = None,
    ) -> None:
        self.backbone = backbone
        self.adapter = adapter
        self.origin = origin
        reads_faces = adapter is not None and adapter.config.source == "face"
        self.faces = (faces or InsightFaces(device=backbone.device.type)) if reads_faces else None
        self._weights = {} if adapter is None else merged_weights(adapter, backbone.unet)  # once per load

    @classmethod
    def from_assets(cls, device: str | torch.device = "cpu") -> Personalizer:
        """The built-in Toybox model.

        Raises:
            ModelError: its files are missing.
        """
        return cls(*load_toybox(device=device), origin=ModelSource(device=str(device)))

    @classmethod
    def load(
        cls,
        model: str | PathLike[str] = "toybox",
        adapter: str | PathLike[str] | None = None,
        image_encoder: str | PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        memory: Memory = "none",
        text_encoder_2_lora: bool = False,
    ) -> Personalizer:
        """The built-in model, or any Stable Diffusion 1.x or XL from a folder or the hub's cache, with an adapter.

        The arguments and errors are those of ``backbones.registry.load_backbone``.
        """
        parts = load_backbone(model, adapter, image_encoder, device, dtype, memory, text_encoder_2_lora)
        weights = None if adapter is None else str(adapter)
        if model == BUILT_IN or is_toybox(model):
            return cls(*parts, origin=ModelSource(str(model), weights, device=str(device)))
        precision, sees = str(dtype).removeprefix("torch."), None if image_encoder is None else str(image_encoder)
        named = (str(model), weights, sees, str(device), precision, memory, text_encoder_2_lora)
        return cls(*parts, origin=ModelSource(*named, complete=False))

    @classmethod
    def of_pipeline(
        cls,
        pipe: DiffusionPipeline,
        adapter: str | PathLike[str],
        image_encoder: str | PathLike[str] | None = None,
        text_encoder_2_lora: bool = False,
    ) -> Personalizer:
        """Around the networks of a stock pipeline that is loaded already, wherever it is; they are shared, not copied.

        Raises:
            ModelError: the pipeline is neither Stable Diffusion's nor SDXL's, or an image encoder is missing.
            CheckpointError: the adapter does not fit it.
        """
        kind = backbone_class(pipe)
        return cls(*wrap_stock(kind, pipe, adapter, image_encoder, text_encoder_2_lora))

    def moved_to(self, device: str | torch.device) -> Personalizer:
        """This model on another device. The networks themselves move, so that the old one is of no use any more."""
        adapter = None if self.adapter is None else self.adapter.to(device)
        origin = None if self.origin is None else replace(self.origin, device=str(device))
        return Personalizer(self.backbone.moved_to(device), adapter, origin=origin)

    def attach(self, pipe: DiffusionPipeline) -> Attachment:
        """Personalise a stock pipeline: text to image, image to image, inpainting or ControlNet.

        Its networks may be this model's own or others of the same shape. See :class:`Attachment`.

        Raises:
            ModelError: there is no adapter, or the pipeline is of another kind or precision, or elsewhere.
            CheckpointError: the adapter does not fit the pipeline's networks.
        """
        if self.adapter is None:
            raise ModelError(
                f'The model "{self.backbone.display_name}" was loaded without an adapter: load one to attach.'
            )
        if getattr(self.backbone, "stock", None) is not backbone_class(pipe).stock:
            raise ModelError(f"The adapter is for another kind of model than that of a {type(pipe).__name__}.")
        check_adapter(self.adapter, pipe)
        backbone, adapter, faces = self.backbone.around(pipe), self.adapter, self.faces
        own, device, dtype = next(adapter.parameters()), pipe._execution_device, backbone.unet.dtype
        if (own.device.type, own.dtype) != (device.type, dtype):
            raise ModelError(
                f"The pipeline works in {dtype} on {device.type}, this model in {own.dtype} on {own.device.type}: "
                "bring the pipeline there with its to(), or make a model around it with Personalizer.of_pipeline."
            )
        # Merged anew for every request, so that LoRAs that are loaded in between count.
        return Attachment(pipe, lambda request: Personalizer(backbone, adapter, faces).conditions(request))

    @property
    def sizes(self) -> Size:
        """The sizes that the model can make."""
        return self.backbone.sizes

    @property
    def defaults(self) -> Defaults:
        """Steps, guidance and delay of a request that leaves them open."""
        return defaults_of(self.backbone, self.adapter)

    @property
    def fast(self) -> Defaults | None:
        """What ``defaults`` are for somebody in a hurry; None where the model has no such preset."""
        return self.backbone.fast

    def anatomy(self, picture: tuple[int, int] | None = None) -> Anatomy:
        """The sizes of all parts for pictures of ``picture`` = (width, height); by default the usual ones."""
        return dissect(self.backbone, self.adapter, picture or self.sizes.default)

    def validate(self, request: GenerateRequest) -> Plan:
        """Read a request, without any work but finding faces; see ``planning.plan_request`` for the errors."""
        return plan_request(request, self.backbone, self.adapter, self.faces)

    def generate(self, request: GenerateRequest, photos: PhotoMemory | None = None) -> Iterator[Step]:
        """Make one picture per seed, a step at a time; closing the iterator cancels.

        A request that cannot be met raises here, before the first step; see ``validate``.

        Args:
            request: what to make.
            photos: what the caller's earlier requests saw; photos among them are not encoded again.

        Raises:
            GenerationError: at a step, if memory ran out or the numbers ran away; the model is as it was.
        """
        return self._steps(self.validate(request), photos)

    @torch.no_grad()
    def conditions(self, request: GenerateRequest) -> Conditions:
        """What conditions a request's steps, before and after the photos join; errors as ``validate``."""
        return self._conditions(self.validate(request))

    def _conditions(self, plan: Plan, photos: PhotoMemory | None = None) -> Conditions:
        subjects = self._embed(plan, photos)
        personal = self._condition(plan, subjects)
        return Conditions(plan, self._condition(plan, None) if plan.numbers.start_step else personal, personal)

    @torch.no_grad()
    def _steps(self, plan: Plan, photos: PhotoMemory | None) -> Iterator[Step]:
        with memory_faults():
            yield from self._pictures(plan, photos)

    def _pictures(self, plan: Plan, photos: PhotoMemory | None) -> Iterator[Step]:
        conditions = self._conditions(plan, photos)
        pictures: tuple[Picture, ...] = ()
        seeds = plan.request.seeds
        for index, seed in enumerate(seeds):
            for state in self._sample(conditions, seed):
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

    def _embed(self, plan: Plan, photos: PhotoMemory | None) -> SubjectEmbeddings | None:
        """photos -> features (CLS, patches) -> subject embeddings (text width, refined)"""
        encoder = self.backbone.image_encoder
        if self.adapter is None or encoder is None or not plan.subjects:
            return None
        config = self.adapter.config
        with self.backbone.placement.using(encoder):
            if config.source == "clip":
                return self.adapter.embed(encode_photos(encoder, plan.subjects, photos), parts=plan.request.parts)
            features, identity = encode_people(encoder, plan.subjects)
        embedded = self.adapter.embed(features, identity, plan.request.parts)
        return weigh(embedded, token_weights(plan.subjects, config.tokens))

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
            parts=plan.request.parts,
            binding=plan.request.binding,
            regions=plan.regions,
            recorded=plan.recording is not None,
        )

    def _sample(self, conditions: Conditions, seed: int) -> Iterator[Sample]:
        """One picture's denoising, with its maps if they are asked for and there is a subject to show"""
        plan, recording = conditions.plan, conditions.plan.recording
        recorder = None if recording is None else Recorder(recording)
        maps = None if recording is None else plan.no_maps
        numbers = replace(plan.numbers, seed=seed)
        return sample(self.backbone, conditions.plain, conditions.personal, numbers, recorder, maps)

    def _picture(self, plan: Plan, seed: int, state: Sample) -> Picture:
        """latents -> the finished picture with everything needed to make it again"""
        image = self.backbone.decode(state.latents)[0]
        return Picture(image, seed, state.maps, plan.words, self._settings(plan, seed))

    def _settings(self, plan: Plan, seed: int) -> dict[str, object]:
        subjects = [
            {
                "name": subject.name,
                "strength": subject.strength,
                "photos": len(subject.photos),
                **({"faces": describe_choices(subject)} if subject.choices else {}),
                **({} if subject.region is None else {"region": describe_region(subject.region)}),
            }
            for subject in plan.subjects
        ]
        return {
            "model": self.backbone.display_name,
            "prompt": plan.request.prompt,
            "negative_prompt": plan.request.negative_prompt,
            "subjects": subjects,
            "parts": asdict(plan.request.parts),
            "binding": plan.request.binding,
            **asdict(replace(plan.numbers, seed=seed)),
        }
