"""Every scheduler that a request may name, under the noise schedule of the model."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from mmdiff_core.backbones.schedulers import FLOW_SCHEDULERS, SCHEDULERS, change_solver, check_scheduler, schedulers_for
from mmdiff_core.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "flow"), [*((name, False) for name in SCHEDULERS), *((name, True) for name in FLOW_SCHEDULERS)]
)
def test_every_scheduler_comes_to_the_clean_latents(name: str, flow: bool) -> None:
    """Of a network that knows them, so that its prediction is exact at every step."""
    options = {"prediction_type": "flow_prediction", "use_flow_sigmas": True} if flow else {}
    scheduler = change_solver(DPMSolverMultistepScheduler(**options), name)
    scheduler.set_timesteps(5)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latents, generator = noise * scheduler.init_noise_sigma, torch.Generator().manual_seed(1)
    for index, timestep in enumerate(scheduler.timesteps):
        noisy = scheduler.scale_model_input(latents, timestep)
        if flow:
            prediction = (noisy - clean) / scheduler.sigmas[index]
        else:
            kept = scheduler.alphas_cumprod[timestep.long()]
            prediction = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        more = {"generator": generator} if "generator" in scheduler.step.__code__.co_varnames else {}
        latents = scheduler.step(prediction, timestep, latents, **more).prev_sample
    ends = getattr(scheduler, "final_alpha_cumprod", 1.0)  # DDIM stops where the first timestep's noise is left
    assert torch.allclose(latents, clean, atol=2e-3 + 5 * (1 - ends) ** 0.5)


def test_a_flow_has_schedulers_of_its_own() -> None:
    flow = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    assert set(schedulers_for(flow)) == {"dpm++", "unipc", "ddim", "sde"}
    assert set(schedulers_for(EulerDiscreteScheduler())) > set(schedulers_for(flow))
    with pytest.raises(SettingsError, match='no scheduler "euler": choose one of'):
        change_solver(flow, "euler")


def test_none_is_the_models_own_and_an_unknown_one_is_refused() -> None:
    own = EulerDiscreteScheduler()
    assert change_solver(own, None) is own
    with pytest.raises(SettingsError, match=r"choose one of dpm\+\+"):
        change_solver(own, "magic")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_noise_schedule_stays_the_models(name: str) -> None:
    own = DDIMScheduler(beta_schedule="scaled_linear", beta_end=0.01, prediction_type="v_prediction")
    other = change_solver(own, name)
    assert torch.equal(other.alphas_cumprod, own.alphas_cumprod)
    assert other.config.prediction_type == "v_prediction"
    assert not other.config.get("clip_sample", False)


@pytest.mark.parametrize("name", [3, "magic", ""])
def test_only_known_names_pass(name: object) -> None:
    check_scheduler(None, ["euler"])
    check_scheduler("euler", ["euler"])
    with pytest.raises(SettingsError, match="choose one of euler"):
        check_scheduler(name, ["euler"])  # type: ignore[arg-type]
