"""From a request to images with their maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from os import PathLike
from types import MappingProxyType

import torch
from diffusers import DiffusionPipeline
from huggingface_hub import CommitInfo

from mmdiff_core.backbones.base import Backbone, Defaults
from mmdiff_core.backbones.loading import check_adapter
from mmdiff_core.backbones.merged_weights import MergedWeights
from mmdiff_core.backbones.placement import Offloading
from mmdiff_core.backbones.registry import backbone_class, load_backbone
from mmdiff_core.backbones.stable_diffusion import wrap_stock
from mmdiff_core.backbones.toybox import is_toybox, load_toybox
from mmdiff_core.deprecation import renamed_keywords, warn_renamed
from mmdiff_core.encoders.devices import execution_device
from mmdiff_core.encoders.face import FaceAnalyser, InsightFaces
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.generation.conditioning import Conditions, condition_request
from mmdiff_core.generation.model_summary import ModelSummary, summarise_model
from mmdiff_core.generation.regions import describe_region
from mmdiff_core.generation.request_plan import Plan, defaults_of, describe_choices, plan_request
from mmdiff_core.generation.sampling import Sample, sample
from mmdiff_core.generation.stock_pipeline import Attachment
from mmdiff_core.inspection.prompt_recorder import (
    InspectedStep,
    check_tokens,
    encode_concepts,
    record_plan,
    with_self_attention,
)
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.numeric_checks import named_memory_errors
from mmdiff_core.results import GeneratedImage, Step
from mmdiff_core.types import GenerateRequest, Size, Subject
from mmdiff_core.weights.adapter_card import push_adapter
from mmdiff_core.weights.model_source import BUILT_IN, ModelSource

ADVANCED = ("clip_skip", "guidance_rescale", "balance_photos")  # settings that are saved where they are not off


class Personalizer:
    """Makes images of the subjects in a person's photos.

    Holds a model and an adapter and nothing about any request: several generations may be advanced in turn.

    Args:
        backbone: the diffusion model.
        adapter: MM-Diff's weights for it; without them the model is the stock one and subjects are refused.
        faces: finds faces in photos, for adapters of the face variant; ``insightface`` by default.
        origin: how to load the same again; None for networks that were put together elsewhere.
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
        self._default_faces = None if faces else InsightFaces(device=backbone.device.type)
        self.faces = (faces or self._default_faces) if reads_faces else None
        self.weights = MergedWeights(adapter, backbone.unet)
        self._student_weights: MergedWeights | None = None

    @classmethod
    def from_assets(cls, device: str | torch.device = "cpu") -> Personalizer:
        """Load the built-in Toybox model.

        Raises:
            ModelError: its files are missing.
        """
        return cls(*load_toybox(device=device), origin=ModelSource(device=str(device)))

    @classmethod
    @renamed_keywords("Personalizer.load", memory="offload")
    def load(
        cls,
        model: str | PathLike[str] = "toybox",
        adapter: str | PathLike[str] | None = None,
        image_encoder: str | PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        offload: Offloading = "none",
        text_encoder_2_lora: bool = False,
    ) -> Personalizer:
        """Load the built-in model, or a Stable Diffusion from a folder, one file or the hub's cache, with an adapter.

        The arguments and errors are those of ``backbones.registry.load_backbone``.
        """
        parts = load_backbone(model, adapter, image_encoder, device, dtype, offload, text_encoder_2_lora)
        weights = None if adapter is None else str(adapter)
        if model == BUILT_IN or is_toybox(model):
            return cls(*parts, origin=ModelSource(str(model), weights, device=str(device)))
        precision, sees = str(dtype).removeprefix("torch."), None if image_encoder is None else str(image_encoder)
        named = (str(model), weights, sees, str(device), precision, offload, text_encoder_2_lora)
        return cls(*parts, origin=ModelSource(*named, complete=False))

    @classmethod
    def of_pipeline(
        cls,
        pipe: DiffusionPipeline,
        adapter: str | PathLike[str],
        image_encoder: str | PathLike[str] | None = None,
        text_encoder_2_lora: bool = False,
    ) -> Personalizer:
        """Share the networks of a stock pipeline that is already loaded, on whatever device; nothing is copied.

        Raises:
            ModelError: the pipeline is neither Stable Diffusion's nor SDXL's, or an image encoder is missing.
            CheckpointError: the adapter does not fit it.
        """
        kind = backbone_class(pipe)
        return cls(*wrap_stock(kind, pipe, adapter, image_encoder, text_encoder_2_lora))

    def moved_to(self, device: str | torch.device) -> Personalizer:
        """Move this model to another device. The networks themselves move, so the old model can no longer be used."""
        adapter = None if self.adapter is None else self.adapter.to(device)
        origin = None if self.origin is None else replace(self.origin, device=str(device))
        return Personalizer(self.backbone.moved_to(device), adapter, self._given_faces, origin)

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
        own, device, dtype = next(self.adapter.parameters()), execution_device(pipe), pipe.unet.dtype
        if (own.device.type, own.dtype) != (device.type, dtype):
            raise ModelError(
                f"The pipeline works in {dtype} on {device.type}, this model in {own.dtype} on {own.device.type}: "
                "bring the pipeline there with its to(), or make a model around it with Personalizer.of_pipeline."
            )
        inside = Personalizer(self.backbone.around(pipe), self.adapter, self._given_faces)
        return Attachment(pipe, inside.conditions, inside.weights)

    @property
    def _given_faces(self) -> FaceAnalyser | None:
        """Return what finds faces, if it is the caller's; our own belongs to a device."""
        return None if self.faces is self._default_faces else self.faces

    def push_to_hub(
        self, name: str, base: str | None = None, license: str | None = None, private: bool = False
    ) -> CommitInfo:
        """Share the adapter on the hub, as one file with a model card; ``--adapter USER/REPO`` opens it again.

        Args:
            name: USER/REPO.
            base: the base model's name on the hub, for the card; by default the name that this model was loaded by.
            license: the hub's short name of the weights' licence, such as ``apache-2.0``.
            private: whether a new repository is only for its owner.

        Raises:
            ModelError: there is no adapter, or the hub cannot be reached or does not let you write.
        """
        if self.adapter is None:
            raise ModelError(f'The model "{self.backbone.display_name}" was loaded without an adapter: load one.')
        encoder = self.backbone.image_encoder
        if encoder is not None and encoder.words is not None:
            raise ModelError("This adapter includes an image encoder of its own: upload its converted file instead.")
        return push_adapter(self.adapter, name, base or self.backbone.display_name, license, private)

    @property
    def sizes(self) -> Size:
        """Return the sizes that the model can make."""
        return self.backbone.sizes

    @property
    def defaults(self) -> Defaults:
        """Return steps, guidance and delay of a request that leaves them open."""
        return defaults_of(self.backbone, self.adapter)

    @property
    def fast(self) -> Defaults | None:
        """Return the preset with fewer steps; None if the model has none."""
        return self.backbone.fast

    def in_few_steps(self, request: GenerateRequest) -> GenerateRequest:
        """Return the request with the preset of fewer steps, except for the numbers that it sets.

        Raises:
            SettingsError: the model has none.
        """
        if (fast := self.fast) is None:
            raise SettingsError(
                f'There is no preset for few steps of "{self.backbone.display_name}": set the number of steps instead.'
            )
        return replace(
            request,
            steps=fast.steps if request.steps is None else request.steps,
            guidance=fast.guidance if request.guidance is None else request.guidance,
            scheduler=request.scheduler or fast.scheduler,
        )

    def summary(self, image_size: tuple[int, int] | None = None) -> ModelSummary:
        """Return the sizes of all networks for ``image_size`` = (width, height), by default the native one."""
        return summarise_model(self.backbone, self.adapter, image_size or self.sizes.default)

    def plan(self, request: GenerateRequest) -> Plan:
        """Read a request, without any work but finding faces; see ``request_plan.plan_request`` for the errors."""
        return plan_request(request, self.backbone, self.adapter, self.faces)

    def validate(self, request: GenerateRequest) -> Plan:
        """Do what :meth:`plan` does, under its old name."""
        warn_renamed("Personalizer.validate", "Personalizer.plan")
        return self.plan(request)

    def generate(self, request: GenerateRequest, photos: PhotoCache | None = None) -> Iterator[Step]:
        """Make one image per seed, a step at a time; closing the iterator cancels.

        A request that cannot be met raises here, before the first step.

        Args:
            request: what to make.
            photos: features of photos from earlier requests, which are not encoded again.

        Raises:
            MMDiffError: see :meth:`plan`.
            GenerationError: at a step, if memory ran out or a number is no longer finite; the model is as it was.
        """
        self.backbone.check_text_to_image()
        return self.run(self.plan(request), photos)

    @torch.no_grad()
    def run(self, plan: Plan, photos: PhotoCache | None = None) -> Iterator[Step]:
        """Make the images of a plan; otherwise as :meth:`generate`."""
        self.backbone.check_text_to_image()
        with named_memory_errors():
            network, weights = self._network(plan)
            conditions = condition_request(plan, network, self.adapter, weights.current(), photos)
        recording = plan.recording
        yield from self._run(conditions, lambda _: None if recording is None else Recorder(recording))

    @torch.no_grad()
    def _run(
        self,
        conditions: Conditions,
        recorder_of: Callable[[int], Recorder | None],
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> Iterator[Step]:
        """Make the images, each with the recorder of its number, and with ``more`` in its settings."""
        with named_memory_errors():
            plan = conditions.plan
            seeds, images = plan.request.seeds, tuple[GeneratedImage, ...]()
            for index, seed in enumerate(seeds):
                for state in self._sample(conditions, seed, recorder_of(index)):
                    finished = self._finish(plan, seed, state, more) if state.step == state.steps else None
                    images = (*images, finished) if finished else images
                    result = images if len(images) == len(seeds) else None
                    preview = self.backbone.preview(state.clean)
                    yield Step(index, len(seeds), state.step, state.steps, preview, state.maps, finished, result)

    def inspect(
        self,
        request: GenerateRequest,
        tokens: TokenRecording = TokenRecording(),  # noqa: B008  (frozen)
        photos: PhotoCache | None = None,
    ) -> Iterator[InspectedStep]:
        """Make the images as :meth:`generate` does, and say where each looks at every token of the prompt.

        Subjects are not needed. Without any, the images are those of the plain model if the request switches the
        ``components`` off that read photos.

        Args:
            request: what to make; its own ``recording`` is of the subjects.
            tokens: which words, concepts, layers and steps to record, in how much memory.
            photos: as of :meth:`generate`.

        Raises:
            MMDiffError: see :meth:`plan`; and if a word is not in the prompt, or there is no such layer.
        """
        self.backbone.check_text_to_image()
        plan = self.plan(request)
        check_tokens(plan, self.backbone, tokens)
        return self.run_inspected(plan, tokens, photos)

    @torch.no_grad()
    def run_inspected(
        self, plan: Plan, tokens: TokenRecording, photos: PhotoCache | None = None
    ) -> Iterator[InspectedStep]:
        """Make the images of a plan whose tokens were checked; otherwise as :meth:`inspect`."""
        with named_memory_errors():
            network, merged = self._network(plan)
            weights = merged.current()
            conditions = condition_request(plan, network, self.adapter, weights, photos, recorded=True)
            concepts = encode_concepts(tokens.concepts, plan, network, self.adapter, weights)
        recorders = [record_plan(plan, self.backbone, tokens, concepts) for _ in plan.request.seeds]
        conditions, more = with_self_attention(conditions, tokens), {"concepts": list(tokens.concepts)}
        for step in self._run(conditions, lambda image: recorders[image], more):
            yield InspectedStep(step, recorders[step.image_index].tokens)

    def conditions(self, request: GenerateRequest) -> Conditions:
        """Return what conditions a request's steps, before and after the photos join; errors as :meth:`plan`."""
        plan = self.plan(request)
        network, weights = self._network(plan)
        return condition_request(plan, network, self.adapter, weights.current())

    def _network(self, plan: Plan) -> tuple[Backbone, MergedWeights]:
        """Return what makes a plan's images: the model or its student for few steps, and the weights merged with it."""
        network, _ = self.backbone.sampled_by(plan.numbers.scheduler)
        if network is self.backbone:
            return network, self.weights
        if self._student_weights is None:
            self._student_weights = MergedWeights(self.adapter, network.unet)
        return network, self._student_weights

    def _sample(self, conditions: Conditions, seed: int, recorder: Recorder | None) -> Iterator[Sample]:
        """Denoise one image, with its maps if the plan records any."""
        plan = conditions.plan
        maps = None if plan.recording is None else plan.no_maps
        network, solver = self.backbone.sampled_by(plan.numbers.scheduler)
        numbers = replace(plan.numbers, seed=seed, scheduler=solver)
        image = plan.request.image
        return sample(network, conditions.plain, conditions.personal, numbers, recorder, maps, image=image)

    def _finish(self, plan: Plan, seed: int, state: Sample, more: Mapping[str, object]) -> GeneratedImage:
        """Decode the latents, and add everything needed to make the image again."""
        image = self.backbone.decode(state.latents)[0]
        return GeneratedImage(image, seed, state.maps, plan.words, {**self._settings(plan, seed), **more})

    def _settings(self, plan: Plan, seed: int) -> dict[str, object]:
        """Return an image's settings under the names of the API's parameters, which saved images keep."""
        numbers = asdict(replace(plan.numbers, seed=seed))
        del numbers["scheduler"], numbers["guidance_rescale"], numbers["left_out"]
        return {
            "model": self.backbone.display_name,
            "prompt": plan.request.prompt,
            "negative_prompt": plan.request.negative_prompt,
            "subjects": [_subject_settings(subject) for subject in plan.subjects],
            "parts": asdict(plan.request.components),
            "binding": plan.request.word_gating,
            **numbers,
            "sampler": plan.numbers.scheduler,
            **{name: value for name in ADVANCED if (value := getattr(plan.request, name))},
            **({} if plan.request.image is None else {"image_strength": plan.request.image_strength}),
        }


def _subject_settings(subject: Subject) -> dict[str, object]:
    settings: dict[str, object] = {"name": subject.name, "strength": subject.scale, "photos": len(subject.photos)}
    if subject.choices:
        settings["faces"] = describe_choices(subject)
    if subject.region is not None:
        settings["region"] = describe_region(subject.region)
    return settings
