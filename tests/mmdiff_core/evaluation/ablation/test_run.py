"""Ablations at toy size: every variant trains, the same samples reach all, and the table tells what was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from PIL import Image
from torch import Tensor

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.encoders.prompt import find_words, tokenize
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.ablation import run as run_module
from mmdiff_core.evaluation.ablation import side_by_side
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS, choose_variants
from mmdiff_core.evaluation.ablation.report import MIN_IMAGES, SCORES, ablation_markdown, conclusions, score_changes
from mmdiff_core.evaluation.ablation.run import AblationOptions, ablate, recipe_of
from mmdiff_core.evaluation.ablation.stage import ADAPTER, STAGE, VariantStage, create_variant_adapter, load_variant
from mmdiff_core.evaluation.toybox import suite as suite_module
from mmdiff_core.evaluation.toybox.suite import MODEL, ToyboxScores
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import THRESHOLDS
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from mmdiff_core.training.toybox import cached_dataset
from mmdiff_core.training.toybox.cached_dataset import SHARD_SIZE, CachedDataset
from mmdiff_core.training.toybox.recipes import LossWeights
from mmdiff_core.training.trainer import Trainer, _attention_kernels
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY

pytestmark = pytest.mark.slow

NAMES = ("no-image-branch", "ip-adapter-plus")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite_module, "CANDIDATES", 4)  # in a gallery
        patch.setattr(suite_module, "DISTRACTORS", 3)
        patch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))
        patch.setattr(run_module, "TIMED_STEPS", 1)
        patch.setattr(side_by_side, "ROUNDS", 1)
        patch.setattr(side_by_side, "SHOWN", {1: 1, 2: 1})
        yield


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> AblationOptions:
    """A tiny base and referee, and the pool rendered in this process."""
    folder = tmp_path_factory.mktemp("ablation")
    model = tiny.save_toybox(folder / "model")
    save_vocabulary(VOCABULARY, model)
    torch.manual_seed(0)
    save_referee(Referee(CONFIG), folder / "referee.safetensors")
    options = AblationOptions(
        folder / "out",
        choose_variants(NAMES),
        model,
        folder / "referee.safetensors",
        steps=3,
        batch=4,
        scenes=12,
        prompts=1,
    )
    recipe = recipe_of(load_toybox(model)[0], options, 3)
    (options.folder / "pool").mkdir(parents=True)
    cached_dataset.render_shard(options.folder / "pool" / "00000.safetensors", recipe, SHARD_SIZE)
    return options


@pytest.fixture(scope="module")
def table(options: AblationOptions) -> dict[str, dict]:
    return ablate(options)


@pytest.fixture(scope="module")
def base(options: AblationOptions) -> tuple[Toybox, MMDiffAdapter]:
    return load_toybox(options.start)


def stage_of(
    name: str, options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], folder: Path, steps: int = 3
) -> VariantStage:
    backbone, like = base
    recipe = recipe_of(backbone, options, steps)
    adapter = create_variant_adapter(VARIANTS[name], like.config, backbone.unet)
    return VariantStage(
        VARIANTS[name], folder, backbone, adapter, CachedDataset(options.folder / "pool", recipe), recipe
    )


# ---------------------------------------------------------------- variants


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_its_adapter_alone(
    name: str, options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    stage, variant = stage_of(name, options, base, tmp_path), VARIANTS[name]
    batch = stage.batch()
    assert batch.batch.photos.any()
    terms = stage.network(batch)
    losses = variant.weigh(LossWeights())
    asked = {f"{map_kind}_map" for map_kind in ("text", "image") if getattr(losses, f"{map_kind}_constraint")}
    assert terms.keys() == {"denoise", *asked}
    torch.stack(list(terms.values())).sum().backward()
    reached = {n for n, parameter in stage.adapter.named_parameters() if parameter.grad is not None}
    assert {n.split(".")[0] for n in reached} == {n.split(".")[0] for n, _ in stage.adapter.named_parameters()}
    backbone, _ = base
    frozen = [*backbone.unet.parameters(), *backbone.text_encoders[0].parameters()]
    assert all(parameter.grad is None for parameter in frozen)
    stage.finish()
    again = load_variant(tmp_path / ADAPTER)
    assert type(again) is type(stage.adapter)
    assert again.config == stage.adapter.config
    assert again.state_dict().keys() == stage.adapter.state_dict().keys()


def test_variants_differ_in_what_they_say() -> None:
    like = tiny.adapter_for(tiny.stable_diffusion()).config
    whole = VARIANTS[FULL].configure(like)
    assert VARIANTS["no-refiner"].configure(like) == replace(whole, refiner_depth=0)
    assert VARIANTS["tokens-16"].configure(like).tokens == 16
    assert VARIANTS["rank-64"].configure(like).rank == 64
    assert VARIANTS["fastcomposer"].configure(like).fuse_after
    assert VARIANTS["no-image-branch"].map_kind == "text"
    assert [variant.name for variant in choose_variants(["rank-4"])] == [FULL, "rank-4"]
    with pytest.raises(SettingsError, match=r"no variant rank-5.*rank-4"):
        choose_variants(["rank-5"])


def test_every_variant_sees_the_same_in_the_same_order(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    first, second = (stage_of(name, options, base, tmp_path) for name in (FULL, "ip-adapter-plus"))
    noises = []
    for stage in (first, second):
        one, two = stage.batch(), stage.batch()
        stage.network(one)
        noises.append((one, two, torch.randn(3)))
    (a, b, noise), (c, d, other) = noises
    for x, y in ((a, c), (b, d)):
        assert torch.equal(x.batch.latents, y.batch.latents)
        assert torch.equal(x.batch.photos, y.batch.photos)
        assert torch.equal(x.batch.tokens.ids, y.batch.tokens.ids)
    assert torch.equal(noise, other)
    assert not torch.equal(a.batch.latents, b.batch.latents)


def test_interrupted_variant_goes_on_with_the_samples_of_the_others(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    whole = stage_of(FULL, options, base, tmp_path / "whole", steps=4)
    assert Trainer(whole, tmp_path / "whole").run()
    first = stage_of(FULL, options, base, tmp_path / "parts", steps=4)
    trainer = Trainer(first, tmp_path / "parts")
    with _attention_kernels(torch.device("cpu")):
        for _ in range(2):
            trainer._train([first.batch()])
    trainer._save()  # and then it is killed
    rest = stage_of(FULL, options, base, tmp_path / "parts", steps=4)
    trainer = Trainer(rest, tmp_path / "parts")
    rest.number = trainer.step
    assert trainer.step == 2
    assert trainer.run()
    for one, other in zip(whole.trained(), rest.trained(), strict=True):
        torch.testing.assert_close(one, other)


# ---------------------------------------------------------------- baselines


def test_ip_adapter_computes_what_diffusers_computes(options: AblationOptions) -> None:
    """Two subjects with a photo each: the same UNet under diffusers' own processors."""
    backbone, like = load_toybox(options.start)
    baseline = create_variant_adapter(VARIANTS["ip-adapter-plus"], like.config, backbone.unet).eval()
    for parameter in baseline.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    text, words = find_words("a cat next to a dog", ("cat", "dog"))
    features = ImageFeatures(
        torch.randn(1, 2, 1, tiny.PROJECTION), torch.randn(1, 2, 1, 16, tiny.PATCH_WIDTH), torch.ones(1, 2, 1).bool()
    )
    latents, time = torch.randn(1, 4, 16, 16), torch.tensor(500.0)
    with torch.no_grad():
        subjects = baseline.embed(features)
        tokens = [tokenize(backbone.tokenizers[0], text, words)]
        condition = build_condition(
            backbone, baseline, baseline.weights(backbone.unet), tokens, subjects, size=(32, 32)
        )
        ours = backbone.predict_noise(latents, time, condition)
        images = baseline.image_projection(features.patches[0, :, 0])[None]  # (1, images, N, D)
        processors = {
            name: baseline.unet[name.removesuffix(".processor")].processor if "attn2" in name else AttnProcessor2_0()
            for name in backbone.unet.attn_processors
        }
        backbone.unet.set_attn_processor(processors)
        theirs = backbone.unet(latents, time, encoder_hidden_states=(condition.text.states, [images])).sample
        backbone.unet.set_attn_processor({name: AttnProcessor2_0() for name in backbone.unet.attn_processors})
        plain = backbone.unet(latents, time, encoder_hidden_states=condition.text.states).sample
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert (theirs - plain).abs().max() > 1e-2


def test_fastcomposer_fuses_behind_the_text_encoder(base: tuple[Toybox, MMDiffAdapter]) -> None:
    """Only the subject's own state changes: before the encoder, every later one would, too."""
    backbone, like = base
    features = ImageFeatures(
        torch.randn(1, 1, 1, tiny.PROJECTION), torch.randn(1, 1, 1, 16, tiny.PATCH_WIDTH), torch.ones(1, 1, 1).bool()
    )
    tokens = tokenize(backbone.tokenizers[0], *find_words("a cat on the beach", ("cat",)))

    def changed(name: str) -> Tensor:
        adapter = create_variant_adapter(VARIANTS[name], like.config, backbone.unet)
        with torch.no_grad():
            conditions = [
                build_condition(backbone, adapter, {}, [tokens], subjects, size=(32, 32))
                for subjects in (None, adapter.embed(features))
            ]
        plain, fused = (condition.text.states for condition in conditions)
        return (plain - fused).abs().amax(-1)[0] > 1e-6

    assert changed("fastcomposer").nonzero().flatten().tolist() == [int(tokens.words)]
    assert changed(FULL)[int(tokens.words) :].all()


# ---------------------------------------------------------------- the whole command


def test_table_has_every_variant_with_its_measures(table: dict[str, dict], options: AblationOptions) -> None:
    assert json.loads((options.folder / "ablation.json").read_text())["variants"].keys() == {FULL, *NAMES}
    for name, one in table["variants"].items():
        adapter = load_variant(options.folder / "variants" / name / ADAPTER)
        assert one["parameters"] == sum(parameter.numel() for parameter in adapter.parameters())
        assert 0 < one["seconds"]["least"] <= one["seconds"]["median"] <= one["seconds"]["most"]
        assert [one[score]["n"] for score in SCORES] == [2] * len(SCORES)  # a prompt of one, one of two subjects
        assert one["one"]["identity"]["n"] == 1
        assert one["two"]["identity"]["n"] == 2
        assert one["training"]["denoise"] > 0
        assert one["change"].keys() == (set() if name == FULL else SCORES.keys())
    assert table["upper"]["subject"]["n"] == table["base"]["text"]["n"] == 2
    assert table["about"]["steps"] == 3
    kinds = [
        {row["kind"] for line in (folder / "report" / "rows.jsonl").open() for row in json.loads(line)}
        for folder in (options.folder / "variants" / name for name in (FULL, NAMES[0]))
    ]
    assert kinds == [{"model", "upper", "lower"}, {"model"}]  # the bounds are the same for all
    with Image.open(options.folder / "ablation.png") as sheet:
        assert sheet.width > 4 * 128
        assert sheet.height > (len(NAMES) + 3) * 128
    text = (options.folder / "ablation.md").read_text()
    assert all(VARIANTS[name].title in text for name in (FULL, *NAMES))
    assert "* **image branch** " in text


def test_finished_variants_are_not_done_again(
    table: dict[str, dict],
    options: AblationOptions,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a finished variant was trained again")

    monkeypatch.setattr(run_module, "_stage", refuse)
    command = ["ablate", "--out", str(options.folder), "--model", str(options.start), "--referee", str(options.referee)]
    command += ["--batch", "4", "--scenes", "12", "--prompts", "1", "--variants"]  # the folder's steps count
    assert main([*command, *NAMES]) == 0
    assert "trained parameters" in cells(capsys.readouterr().out)[0]
    again = json.loads((options.folder / "ablation.json").read_text())
    for name, one in table["variants"].items():
        assert {**again["variants"][name], "seconds": None} == {**one, "seconds": None}
    assert main([*command, "everything"]) == BAD_INPUT
    assert "fastcomposer" in capsys.readouterr().err
    with pytest.raises(AssertionError, match="trained again"):
        main([*command, *NAMES, "rank-4"])


def test_another_budget_or_base_is_refused_and_loses_nothing(table: dict[str, dict], options: AblationOptions) -> None:
    before = (options.folder / "ablation.json").read_bytes()
    for other in (replace(options, steps=4), replace(options, steps=None, minutes=1.0), replace(options, batch=5)):
        with pytest.raises(SettingsError, match="another folder"):
            ablate(other)
    for wrong, word in (
        (replace(options, minutes=1.0), "either"),
        (replace(options, steps=0), "steps"),
        (replace(options, seed=5), "trained on"),
        (replace(options, variants=(VARIANTS["rank-4"],)), "whole method"),
    ):
        with pytest.raises(SettingsError, match=word):
            ablate(wrong)
    assert (options.folder / "ablation.json").read_bytes() == before


def test_minutes_become_steps_that_all_share(
    options: AblationOptions, base: tuple[Toybox, MMDiffAdapter], tmp_path: Path
) -> None:
    (tmp_path / "pool").symlink_to(options.folder / "pool")
    timed = replace(options, folder=tmp_path, steps=None, minutes=0.5)
    backbone, like = base
    recipe = run_module._begin(timed, backbone, like.config)
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept["asked"] == "0.5 minutes"
    assert kept["steps"] == recipe.stages[STAGE].steps > 1
    again = run_module._begin(replace(timed, minutes=None), backbone, like.config)
    assert again == recipe


def test_variants_generate_like_any_adapter(
    table: dict[str, dict], options: AblationOptions, base: tuple[Toybox, MMDiffAdapter]
) -> None:
    backbone, _ = base
    for name in (FULL, *NAMES):
        adapter = load_variant(options.folder / "variants" / name / ADAPTER)
        request = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), seeds=(1,))
        *_, last = Personalizer(backbone, adapter).generate(request)
        assert last.finished is not None
        assert last.finished.image.size == (32, 32)


# ---------------------------------------------------------------- figures


def row(number: int, likeness: float, present: bool) -> ToyboxScores:
    curve = [0.5] * len(THRESHOLDS)
    return ToyboxScores(MODEL, 1, number, 0, "", [True], [], present, True, True, [True], [curve], [likeness])


def test_changes_are_paired() -> None:
    before = [row(k, 0.1 * k, True) for k in range(8)]
    after = [row(k, 0.1 * k + 0.05, k % 2 == 0) for k in range(8)]
    change = score_changes(before, [*after, row(99, 0.0, False)])  # a prompt that only one has does not count
    assert change["subject"]["mean"] == pytest.approx(0.05)
    assert change["subject"]["low"] == pytest.approx(0.05)  # though the prompts differ far more among themselves
    assert change["text"]["mean"] == pytest.approx(-1 / 6, abs=1e-4)
    assert change["text"]["high"] < 0
    assert change["identity"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 8}


def part(n: int = 200, **change: tuple[float, float]) -> dict:
    told = {name: {"mean": sum(ends) / 2, "low": ends[0], "high": ends[1], "n": n} for name, ends in change.items()}
    return {"title": "no null token", "group": "component", "change": told}


def test_verdicts_follow_from_the_intervals() -> None:
    falls, rises, nothing = (-0.2, -0.1), (0.1, 0.2), (-0.1, 0.1)
    said = [
        conclusions({"x": part(subject=subject, text=text)})[0]
        for subject, text in ((falls, nothing), (falls, rises), (nothing, rises), (nothing, nothing))
    ]
    assert "earns its place here: without it subject fidelity fell" in said[0]
    assert "a trade-off here: without it subject fidelity fell and text fidelity rose" in said[1]
    assert "does not earn its place" in said[2]
    assert "not shown to earn its place" in said[3]
    assert conclusions({"x": {**part(subject=falls), "group": "rank"}}) == []
    assert "cannot be judged" in conclusions({"x": part(n=MIN_IMAGES - 1, subject=falls)})[0]


def test_markdown_of_the_table(table: dict[str, dict]) -> None:
    text = ablation_markdown(table)
    titles = [row[0] for row in cells(text)]
    assert titles.count("real renders") == 2
    assert VARIANTS["ip-adapter-plus"].title in titles
    assert table["about"]["whole method"] in text
    assert text.count("too few images to tell") == len(NAMES)
    assert STAGE not in table["about"]
