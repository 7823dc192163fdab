"""MM-Diff on top of a frozen diffusion model: one module that holds every trainable tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from mmdiff_core.nn.config import AdapterConfig, AttentionLayer, TextTower
from mmdiff_core.nn.fusion import SubjectProjector, WordFusion
from mmdiff_core.nn.layer import FrozenAttention, LayerLoras, LayerWeights, condition_layer
from mmdiff_core.nn.lora import Lora, PathDict
from mmdiff_core.nn.projectors import TokenProjector
from mmdiff_core.nn.records import ImageFeatures, LayerCondition, SubjectEmbeddings
from mmdiff_core.nn.refiner import BOX, GroundedResampler, Resampler, SubjectRefiner
from mmdiff_core.types import ALL_COMPONENTS, Components

__all__ = ["AdapterConfig", "AttentionLayer", "LayerWeights", "MMDiffAdapter", "TextTower"]

_TEXT_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


class MMDiffAdapter(nn.Module):
    """Projections of the photos, word fusion, SE-Refiner, and the LoRAs of the UNet and the text encoders.

    The frozen weights are arguments, never attributes, and no method leaves anything behind on the module: the
    adapter can serve any number of interleaved requests. State-dict keys below ``unet`` and ``text_encoders`` are the
    paths of the layers that they belong to.

    A fresh adapter leaves the UNet's own weights unchanged (every LoRA is zero) and the prompt almost so.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        widths = [tower.width for tower in config.text_towers] if config.word_fusion else []
        self.subject_projector = SubjectProjector(config.cls_width, widths, config.word_scale) if widths else None
        self.word_fusions = nn.ModuleList(WordFusion(width, config.word_scale) for width in widths)
        self.token_projector = _token_projector(config)
        self.refiner = _refiner(config)
        self.resampler = _resampler(config)
        self.unet = PathDict(_unet_loras(config))
        self.text_encoders = nn.ModuleList(PathDict(_text_loras(t, config.alpha)) for t in config.text_towers)

    # ------------------------------------------------------------ subjects

    def embed(
        self,
        features: ImageFeatures,
        identity: Tensor | None = None,
        components: Components = ALL_COMPONENTS,
        grounding: Tensor | None = None,
    ) -> SubjectEmbeddings:
        """Turn photos of a batch into word vectors and refined subject tokens (section 3.2).

        Args:
            features: of S subjects with P photos each.
            identity: (B, S, P, 512) face embeddings, which the face variant projects in the place of the CLS.
            components: which of them to use.
            grounding: (B, S, Dp + 4) each subject's encoded name and its box, for a resampler that reads them; by
                default it takes its learned queries.

        Returns:
            Word vectors, from the mean CLS of a subject's photos (none without word fusion), and K = S*P*N tokens,
            those of subject 0 first, photo by photo (K = 0 without an image branch).

        Raises:
            ValueError: the face variant without ``identity``.
        """
        words: tuple[Tensor, ...] = ()
        if self.subject_projector is not None and components.vision_text:
            words = self.subject_projector(mean_cls(features))
        if not self.config.image_branch or not components.image_branch:
            return _no_tokens(words, features, self.config.width)
        present = features.present
        tokens = self._tokens(features, identity, components, grounding)  # (n, N, D): padding costs nothing
        padded = tokens.new_zeros(*present.shape, *tokens.shape[1:])
        tokens = padded.index_put(present.nonzero(as_tuple=True), tokens)  # (B, S, P, N, D)
        _, subjects, photos, per_photo, _ = tokens.shape
        return SubjectEmbeddings(
            words=words,
            tokens=tokens.flatten(1, 3),
            owners=torch.arange(subjects, device=tokens.device).repeat_interleave(photos * per_photo),
            present=present.flatten(1).repeat_interleave(per_photo, dim=1),
        )

    def _tokens(
        self,
        features: ImageFeatures,
        identity: Tensor | None,
        components: Components,
        grounding: Tensor | None = None,
    ) -> Tensor:
        """Return the tokens (n, N, D) of the n photos that are present. Args as :meth:`embed`."""
        present = features.present
        tokens: Tensor
        if isinstance(self.resampler, GroundedResampler):
            patches = features.patches[present]
            if grounding is None:
                return self.resampler.ground(patches, patches.new_zeros(len(patches), self.config.phrase_width + BOX))
            each = grounding.to(patches)[:, :, None].expand(-1, -1, present.shape[2], -1)  # (B, S, P, Dp + 4)
            return self.resampler.ground(patches, each[present])
        if self.resampler is not None:
            tokens = self.resampler(features.patches[present])
            return tokens
        assert self.token_projector is not None  # there is an image branch
        tokens = self.token_projector(self._source(features, identity)[present])
        if self.refiner is not None and components.refiner:
            tokens = self.refiner(tokens, features.patches[present])
        return tokens

    def blank_tokens(self, patches: Tensor, components: Components = ALL_COMPONENTS) -> Tensor:
        """Return the tokens (N, D) of a photo that shows nothing, which the unconditional half sees in IP-Adapter.

        Its CLS, or its face embedding, is zero.

        Args:
            patches: (M, Dh) of a blank image; of any size where the adapter reads none.
            components: as for :meth:`embed`.
        """
        present = torch.ones(1, 1, 1, dtype=torch.bool, device=patches.device)
        zero = patches.new_zeros(1, 1, 1, self.config.source_width)
        return self._tokens(ImageFeatures(zero, patches[None, None, None], present), zero, components)[0]

    def _source(self, features: ImageFeatures, identity: Tensor | None) -> Tensor:
        """Return what the subject tokens are projected from, (B, S, P, Dc)."""
        if self.config.source == "clip":
            return features.cls
        if identity is None:
            raise ValueError("this adapter reads face embeddings: embed() needs `identity` (B, S, P, 512)")
        return identity

    # ------------------------------------------------------------ layers

    def weights(self, unet: nn.Module, scale: float = 1.0) -> dict[str, LayerWeights]:
        """Return frozen weights plus LoRA for every layer, by the layer's path in ``unet``.

        Differentiable with respect to the adapter and to the UNet. Training calls it every step; inference once,
        without gradients, which is what merging the LoRAs means here: the UNet itself stays stock.

        Args:
            unet: anything with the attention layers of the configuration at their paths.
            scale: multiplies every LoRA.
        """
        return {
            path: self.unet[path].add_to(cast(FrozenAttention, unet.get_submodule(path)), scale)
            for path in self.unet.paths
        }

    def condition_layers(
        self,
        weights: Mapping[str, LayerWeights],
        text_states: Tensor,
        subjects: SubjectEmbeddings | None,
        scales: Tensor,
        null_token: bool = True,
    ) -> dict[str, LayerCondition]:
        """Compute a request's keys and values for every layer, once for all denoising steps.

        Args:
            weights: of :meth:`weights`.
            text_states: (B, T, D).
            subjects: of the last R rows, which alone get an image term; None leaves it out everywhere.
            scales: (R, S) lambda of each subject; zero in rows that must not see a photo.
            null_token: False leaves the null token out, where the adapter has one.
        """
        cross = {layer.path for layer in self.config.cross_attention}
        # Asking stops a GPU, and rows of a training batch are padded anyway.
        full = subjects is not None and not torch.is_grad_enabled() and bool(subjects.present.all())
        if not null_token:
            weights = {path: replace(layer, null_key=None) for path, layer in weights.items()}
        return {
            path: condition_layer(layer, path in cross, text_states, subjects, scales, full)
            for path, layer in weights.items()
        }

    # ------------------------------------------------------------ text encoders

    def text_encoder_deltas(self, index: int) -> dict[str, Tensor]:
        """Return LoRA updates (W, W) of text encoder ``index`` by path inside transformers' inner text model.

        For instance ``encoder.layers.0.self_attn.q_proj``. Empty if the encoder has no LoRA or an inactive one.
        """
        loras = cast("PathDict[Lora]", self.text_encoders[index])
        if not self.config.text_towers[index].lora_active:
            return {}
        return {path: loras[path].delta() for path in loras.paths}


def mean_cls(features: ImageFeatures) -> Tensor:
    """Average CLS over each subject's photos, (B, S, Dv); zero for a subject without any."""
    present = features.present[..., None].to(features.cls.dtype)  # (B, S, P, 1)
    return (features.cls * present).sum(2) / present.sum(2).clamp(min=1)


def _no_tokens(words: tuple[Tensor, ...], features: ImageFeatures, width: int) -> SubjectEmbeddings:
    """Return subjects that only enter through the text: K = 0."""
    batch, device = features.cls.shape[0], features.cls.device
    return SubjectEmbeddings(
        words=words,
        tokens=features.cls.new_zeros(batch, 0, width),
        owners=torch.zeros(0, dtype=torch.long, device=device),
        present=torch.zeros(batch, 0, dtype=torch.bool, device=device),
    )


def _token_projector(config: AdapterConfig) -> TokenProjector | None:
    if not config.image_branch or config.resampler is not None:
        return None
    return TokenProjector(config.source_width, config.tokens, config.width, config.deep_projection)


def _resampler(config: AdapterConfig) -> Resampler | None:
    if not config.image_branch or config.resampler is None:
        return None
    kind = GroundedResampler if config.phrase_width else Resampler
    return kind(config.tokens, config.width, config.patch_width, config.resampler)


def _refiner(config: AdapterConfig) -> SubjectRefiner | None:
    if not config.image_branch or config.refiner_depth == 0:
        return None
    return SubjectRefiner(
        config.width,
        config.patch_width,
        config.refiner_depth,
        config.refiner_head_dim,
        config.refiner_hidden,
        config.refiner_residual,
    )


def _unet_loras(config: AdapterConfig) -> dict[str, LayerLoras]:
    """Make the LoRAs of every adapted attention layer of the UNet, by path."""
    loras = {
        layer.path: LayerLoras(
            layer, config.rank, config.alpha, config.image_branch, config.null_token, config.own_image_weights
        )
        for layer in config.cross_attention
    }
    if config.self_attention_rank:
        for layer in config.self_attention:
            loras[layer.path] = LayerLoras(layer, config.self_attention_rank, config.alpha)
    return loras


def _text_loras(tower: TextTower, alpha: float | None) -> dict[str, Lora]:
    """Make the LoRAs of one text encoder, by path."""
    if tower.rank == 0:
        return {}
    return {
        f"encoder.layers.{layer}.self_attn.{name}": Lora(tower.width, tower.width, tower.rank, alpha)
        for layer in range(tower.layers)
        for name in _TEXT_PROJECTIONS
    }
