"""The official pipeline, written anew from the semantics that its recordings document, on its own tensor names.

Plain and slow: merged copies of every weight, explicit softmaxes, additive masks. It shares nothing with the project
but the libraries, so that a whole run of ours can be held against it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from tests.parity.recordings import below

TRIGGER = "<|subj|>"
FUSES = ("mm_fuse_one", "mm_fuse_two")
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073)).view(3, 1, 1)
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711)).view(3, 1, 1)


@dataclass(frozen=True)
class Run:
    """What the official pipeline is called with."""

    prompt: str  # with triggers
    objects: Tensor  # (triggers, 3, h, w) in [0, 1]
    faces: Tensor  # (references, 3, h, w) in [0, 1]
    face_embeds: Tensor  # (references, 512)
    latents: Tensor  # (1, 4, h, w) standard normal
    size: tuple[int, int]  # (height, width)
    steps: int
    guidance: float
    start_merge_step: int
    fuse_scale: float
    columns: int  # of the image mask: 1 stands for all references


class Official:
    """A stock SDXL pipeline's networks under an official checkpoint."""

    def __init__(
        self, pipe: StableDiffusionXLPipeline, clip: CLIPVisionModelWithProjection, tensors: Mapping[str, Tensor],
        order: Sequence[str],
    ) -> None:  # fmt: skip
        self.pipe, self.tensors, self.order = pipe, tensors, order
        self.clip = clip
        self.own_clip = copy.deepcopy(clip)
        self.own_clip.load_state_dict(below(tensors, "custom/image_encoder/"))
        # The LoRA of the second text encoder is dropped by the official loader.
        self.towers = (self._first_tower(), pipe.text_encoder_2)

    @torch.no_grad()
    def __call__(self, run: Run) -> Tensor:
        """The latents (1, 4, h, w) after the last step."""
        pure, pure_pooled = self._encode(run, fused=False)
        fused, fused_pooled = self._encode(run, fused=True)
        image_states = self._face_tokens(run)  # (1, 4 n, D)
        guided = run.guidance > 1
        unet = self._unet(image_states, run.columns, guided)
        scheduler = type(self.pipe.scheduler).from_config(self.pipe.scheduler.config)
        scheduler.set_timesteps(run.steps)
        latents = run.latents * scheduler.init_noise_sigma
        ids = torch.tensor([[*run.size, 0, 0, *run.size]]).float()
        for index, step in enumerate(scheduler.timesteps):
            early = index < run.start_merge_step
            states, pooled = (pure, pure_pooled) if early else (fused, fused_pooled)
            rows = 2 if guided else 1
            if guided:
                states, pooled = (torch.cat([torch.zeros_like(x), x]) for x in (states, pooled))
            for processor in unet.attn_processors.values():
                processor.fuse_scale = 0.0 if early else run.fuse_scale
            noise = unet(
                scheduler.scale_model_input(torch.cat([latents] * rows), step),
                step,
                encoder_hidden_states=states,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": ids.expand(rows, -1)},
            ).sample
            if guided:
                without, with_text = noise.chunk(2)
                noise = without + run.guidance * (with_text - without)
            latents = scheduler.step(noise, step, latents).prev_sample
        return latents

    # ------------------------------------------------------------ text

    def _first_tower(self) -> nn.Module:
        """A copy of the first text encoder with its LoRA merged."""
        tower = copy.deepcopy(self.pipe.text_encoder)
        inner = getattr(tower, "text_model", tower)
        for n, layer in enumerate(inner.encoder.layers):
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                key = f"text_encoder_adapter/text_encoder.text_model.encoder.layers.{n}.self_attn.{name}"
                down, up = (self.tensors[f"{key}.lora_linear_layer.{x}.weight"] for x in ("down", "up"))
                getattr(layer.self_attn, name).weight.data += up @ down
        return tower

    def _encode(self, run: Run, fused: bool) -> tuple[Tensor, Tensor]:
        """Penultimate states of both encoders side by side (1, 77, D), and the pooled vector of the second."""
        marks = self._marks(run.prompt)
        objects = self._objects(run.objects)
        states, pooled = [], None
        for index, (tower, tokenizer) in enumerate(
            zip(self.towers, (self.pipe.tokenizer, self.pipe.tokenizer_2), strict=True)
        ):
            ids = tokenizer(run.prompt.replace(TRIGGER, ""), padding="max_length", max_length=77, return_tensors="pt")
            inner = getattr(tower, "text_model", tower)
            hook = inner.embeddings.token_embedding.register_forward_hook(
                lambda _, __, words, index=index: (
                    self._fuse(words, marks, objects[index], FUSES[index]) if fused else None
                )
            )
            output = tower(ids.input_ids, output_hidden_states=True)
            hook.remove()
            states.append(output.hidden_states[-2])
            pooled = output[0]
        assert pooled is not None
        return torch.cat(states, dim=-1), pooled

    def _marks(self, prompt: str) -> list[int]:
        """The token before each trigger; 1-based, because of the start token."""
        pieces = prompt.split(TRIGGER)
        befores = ["".join(pieces[: n + 1]) for n in range(len(pieces) - 1)]
        return [len(self.pipe.tokenizer(text).input_ids) - 2 for text in befores]

    def _objects(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The photos as a vector for each text encoder, (n, W) each."""
        t = below(self.tensors, "custom/obj_embeds_proj/")
        embeds = self.own_clip(pixel_values=(pixels - MEAN) / STD).image_embeds
        x = _norm(embeds, t, "layernorm")
        x = F.gelu(_linear(x, t, "fc"))
        return _linear(x, t, "proj_1"), _linear(x, t, "proj_2")

    def _fuse(self, words: Tensor, marks: Sequence[int], objects: Tensor, group: str) -> Tensor:
        t = below(self.tensors, f"custom/{group}/")
        words = words.clone()
        both = torch.cat([words[0, list(marks)], objects[: len(marks)]], dim=-1)
        words[0, list(marks)] = _linear(F.gelu(_linear(_norm(both, t, "layernorm"), t, "fc1")), t, "fc2")
        return words

    # ------------------------------------------------------------ faces

    def _face_tokens(self, run: Run) -> Tensor:
        """Four tokens for each reference, refined, (1, 4 n, D)."""
        t = below(self.tensors, "custom/face_embeds_proj/")
        output = self.clip(pixel_values=(run.faces - MEAN) / STD, output_hidden_states=True)
        patches = output.hidden_states[-2]  # with the class token
        x = _linear(F.gelu(_linear(run.face_embeds, t, "proj.0")), t, "proj.2")
        x = _norm(x.unflatten(-1, (4, -1)), t, "layer_norm")
        tokens = x + self._refine(x, patches, below(t, "refiner."))
        return tokens.flatten(0, 1)[None]

    def _refine(self, x: Tensor, patches: Tensor, t: Mapping[str, Tensor]) -> Tensor:
        patches = _linear(patches, t, "proj_in")
        for n in range(4):
            block = below(t, f"layers.{n}.")
            queries = _norm(x, block, "0.norm2")
            context = torch.cat([_norm(patches, block, "0.norm1"), queries], dim=1)
            heads = x.shape[-1] // 256
            q = _heads(_linear(queries, block, "0.to_q"), heads)
            k, v = (_heads(y, heads) for y in _linear(context, block, "0.to_kv").chunk(2, dim=-1))
            weight = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            x = x + _linear((weight @ v).transpose(1, 2).flatten(2), block, "0.to_out")
            x = x + _linear(F.gelu(_linear(_norm(x, block, "1.0"), block, "1.1")), block, "1.3")
        return _norm(_linear(x, t, "proj_out"), t, "norm_out")

    # ------------------------------------------------------------ UNet

    def _unet(self, image_states: Tensor, columns: int, guided: bool) -> UNet2DConditionModel:
        """A copy of the UNet whose processors hold the image tokens, as the official ones do."""
        unet = copy.deepcopy(self.pipe.unet)
        rows = [False, True] if guided else [True]
        mask = torch.tensor(rows)[:, None].expand(-1, columns)
        processors = {
            name: OfficialProcessor(below(self.tensors, f"unet_adapter/{i}."), image_states, mask)
            for i, name in enumerate(self.order)
        }
        unet.set_attn_processor(processors)
        return unet


class OfficialProcessor:
    """Attention with the LoRAs of one layer."""

    def __init__(self, loras: Mapping[str, Tensor], image_states: Tensor, mask: Tensor) -> None:
        self.loras, self.image_states, self.mask = loras, image_states, mask
        self.fuse_scale = 1.0

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: object
    ) -> Tensor:
        text = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q = _heads(hidden_states @ self._merged(attn.to_q, "to_q_lora").T, attn.heads)
        k = _heads(text @ self._merged(attn.to_k, "to_k_lora").T, attn.heads)
        v = _heads(text @ self._merged(attn.to_v, "to_v_lora").T, attn.heads)
        out = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
        if encoder_hidden_states is not None:
            out = out + self.fuse_scale * self._image(attn, q)
        return F.linear(
            out.transpose(1, 2).flatten(2), self._merged(attn.to_out[0], "to_out_lora"), attn.to_out[0].bias
        )

    def _image(self, attn: Attention, q: Tensor) -> Tensor:
        tokens = self.image_states.expand(len(q), -1, -1)
        k = _heads(tokens @ self._merged(attn.to_k, "to_k_lora_image").T, attn.heads)
        v = _heads(tokens @ self._merged(attn.to_v, "to_v_lora_image").T, attn.heads)
        references = tokens.shape[1] // 4
        seen = self.mask.expand(-1, references).repeat_interleave(4, dim=1)  # (rows, 4 n)
        bias = torch.where(seen, 0.0, -1e6) * seen.any(1, keepdim=True)
        weight = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias[:, None, None, :]).softmax(-1)
        return (weight @ v) * seen.any(1)[:, None, None, None]

    def _merged(self, linear: nn.Linear, name: str) -> Tensor:
        return linear.weight + self.loras[f"{name}.up.weight"] @ self.loras[f"{name}.down.weight"]


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _linear(x: Tensor, t: Mapping[str, Tensor], name: str) -> Tensor:
    return F.linear(x, t[f"{name}.weight"], t.get(f"{name}.bias"))


def _norm(x: Tensor, t: Mapping[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], t[f"{name}.weight"], t[f"{name}.bias"])
