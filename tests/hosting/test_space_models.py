"""Every row of the table of hosts, with tiny models under the names of the real ones and the host's variables."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from demo.server import launch, zero_gpu
from demo.server.limits import hosted_limits
from demo.server.model_variables import VARIABLES
from mmdiff_core.backbones import toybox
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.hub import CLIP
from tests.helpers import tiny
from tests.helpers.documents import section
from tests.helpers.ip_adapters import ip_adapter, save_ip_adapter
from tests.helpers.markdown import cells
from tests.helpers.paths import DOCS
from tests.hosting.app_process import running_app

pytestmark = pytest.mark.slow

ROWS = [row for row in cells(section(DOCS / "hosting.md", "## On a Space")) if row[2].startswith(("Toybox", "photos"))]
SD, SDXL = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0"
REQUEST = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the names of the hub are folders and files."""
    folder = tmp_path_factory.mktemp("place")
    tiny.save_model("sd", folder / SD)
    (folder / SD / "adapter.safetensors").rename(folder / "adapter.safetensors")
    tiny.save_model("sdxl", folder / SDXL)
    tiny.image_encoder().save_pretrained(folder / CLIP)
    adapters = folder / "h94/IP-Adapter"
    save_ip_adapter(ip_adapter("plus", tiny.stable_diffusion()), adapters / "models/ip-adapter-plus_sd15.safetensors")
    large = adapters / "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors"
    save_ip_adapter(ip_adapter("plus", tiny.stable_diffusion_xl()), large)
    tiny.photo(1).save(folder / "cat.png")
    return folder


def _variables(row: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in re.findall(r"`([A-Z_0-9]+=[^`]+)`", row[1]))


def test_the_table_has_the_four_hosts() -> None:
    assert [row[0] for row in ROWS] == ["Space, CPU Basic", "Space, ZeroGPU", "Space, ZeroGPU", "your own GPU"]
    assert set().union(*map(_variables, ROWS)) <= {"MMDIFF_HOSTED", *VARIABLES}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}: {row[2]}" for row in ROWS])
def test_a_host_shows_what_the_table_says(row: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(toybox, "FOLDER", tiny.save_toybox(place / "toybox"))
    monkeypatch.setattr("mmdiff_core.backbones.registry.FOLDER", place / "toybox")
    lent: list[object] = []
    variables = _variables(row)
    if "Space" in row[0]:
        variables |= {"SPACE_ID": "somebody/studio", "SPACE_HOST": "somebody-studio.hf.space"}
    if "ZeroGPU" in row[0]:
        variables |= {"SPACES_ZERO_GPU": "true"}
        spaces = types.ModuleType("spaces")
        spaces.GPU = lambda duration: (
            lambda work: lambda plan, tokens=None: lent.append(duration(plan, tokens)) or work(plan, tokens)
        )  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "spaces", spaces)
        real = zero_gpu.place_on_loan
        monkeypatch.setattr(zero_gpu, "place_on_loan", lambda model: real(model, "cpu"))  # for want of a GPU
        variables |= {"MMDIFF_DTYPE": "float32"}  # the CPU is slow in halves
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    flags = launch.parse_flags([])
    service = launch.load_service(flags, hosted_limits())
    *_, last = service.generate(REQUEST)
    assert last.maps.at("cat", "image").max() > 0
    assert len(lent) == ("ZeroGPU" in row[0])
    expected = {"Toybox": "toybox", "photos, in SDXL": SDXL}.get(row[2], SD)
    assert service.backbone.display_name == Path(expected).name  # as a folder's, whose path is private
    if "MMDIFF_ADAPTER" in variables:
        assert service.origin.adapter == Path(variables["MMDIFF_ADAPTER"]).name  # without its folder, as hosted


def test_the_app_itself_under_the_variables(place: Path, tmp_path: Path) -> None:
    """The last row as a process, asked through its API."""
    with running_app(tmp_path, cwd=place, **_variables(ROWS[-1])) as host:
        assert host.health()["model"] == Path(SD).name
        client = Client(host.url, verbose=False, httpx_kwargs={"trust_env": False})
        subject = {"name": "cat", "photos": [handle_file(place / "cat.png")]}
        shown = client.predict("a cat", [subject], steps=2, api_name="/generate")
        assert shown
