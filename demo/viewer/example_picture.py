"""A finished example, which the viewer shows until there is a picture of one's own.

``python -m demo.viewer.example_picture`` makes it anew with the built-in model, which is to be done for new weights.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from demo.form.examples import EXAMPLES, StudioExample
from demo.form.prompt_words import numbered_words, prompt_pieces
from demo.viewer.frames import FinishedFrame
from demo.viewer.history import HistoryEntry
from demo.viewer.viewer import finished_frame
from demo.web.cached_files import data_url
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.output.export import png_info, read_settings
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import GenerateRequest, Recording, Subject

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

FOLDER = Path(__file__).parents[2] / "assets" / "example"
_PICTURE, _STEPS = "picture.png", "steps.npz"


def make_example(personalizer: Personalizer, example: StudioExample = EXAMPLES[0]) -> HistoryEntry:
    """Return the picture of an example with its steps."""
    content = example.content()
    subjects = tuple(Subject(toy.name, toy.photos) for toy in content.subjects)
    seeds = (content.seed or 0,)
    request = GenerateRequest(content.prompt, subjects, seeds=seeds, recording=Recording(words=True))
    previews: list[Image.Image] = []
    with closing(personalizer.generate(request)) as steps:  # type: ignore[type-var]
        for step in steps:
            previews.append(step.preview)
            if step.finished is not None:
                return _entry(step.finished, previews)
    raise AssertionError("a run ends with a picture")


def write_example(entry: HistoryEntry, folder: Path = FOLDER) -> None:
    """Write a picture with its settings inside, and its maps and previews beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    picture, maps = entry.picture, entry.picture.maps
    assert maps is not None
    picture.image.save(folder / _PICTURE, pnginfo=png_info(picture.settings))
    index = [(each.step, each.layer, each.size, kind) for each in maps.records for kind in each.kinds]
    values = [each.kinds[kind].numpy() for each in maps.records for kind in each.kinds]
    facts = json.dumps({"maps": index, "others": maps.others})
    previews = np.stack([np.asarray(preview.convert("RGB")) for preview in entry.previews])
    arrays = {"facts": np.array(facts), "previews": previews, **{f"maps-{i}": each for i, each in enumerate(values)}}
    np.savez_compressed(folder / _STEPS, **arrays)  # type: ignore[arg-type]


def read_example(folder: Path = FOLDER) -> HistoryEntry | None:
    """Read what :func:`write_example` wrote; None where there is none."""
    if not (folder / _PICTURE).is_file():
        return None
    settings = read_settings(folder / _PICTURE)
    with Image.open(folder / _PICTURE) as file:
        image = file.convert("RGB")
    with np.load(folder / _STEPS, allow_pickle=False) as steps:
        facts = json.loads(str(steps["facts"]))
        previews = [Image.fromarray(preview) for preview in steps["previews"]]
        records = [
            StepMaps(step, layer, tuple(size), {kind: torch.from_numpy(steps[f"maps-{i}"])})
            for i, (step, layer, size, kind) in enumerate(facts["maps"])
        ]
    names = [str(subject["name"]) for subject in settings["subjects"]]  # type: ignore[attr-defined]
    _, words = find_words(str(settings["prompt"]), names)
    maps = AttentionMaps(tuple(word.text for word in words), tuple(records), tuple(facts["others"]))
    return _entry(GeneratedImage(image, int(str(settings["seed"])), maps, words, settings), previews)


def example_frame(folder: Path = FOLDER) -> FinishedFrame | None:
    """Return the example as the viewer shows it: inside the page, so that no sweep of files takes it away."""
    entry = read_example(folder)
    if entry is None:
        return None
    frame = finished_frame("example", entry)
    return frame | {"image": data_url(entry.picture.image), "example": True}  # type: ignore[return-value]


def _entry(picture: GeneratedImage, previews: list[Image.Image]) -> HistoryEntry:
    prompt = str(picture.settings["prompt"])
    pieces = numbered_words(prompt_pieces(prompt, picture.words))
    slots = tuple(range(len(picture.words)))
    entry = HistoryEntry(picture, (*previews[:-1], picture.image.resize(previews[-1].size)), slots, ((),) * len(slots))
    return replace(entry, sentence=tuple(pieces))


def main() -> None:
    """Make the example with the built-in model."""
    from mmdiff_core.pipeline import Personalizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    write_example(make_example(Personalizer.from_assets()), parser.parse_args().out)


if __name__ == "__main__":
    main()
