"""A finished comparison, without making any image."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from demo.compare.grid import Comparison, ComparisonCell
from demo.compare.variants import FormRequest, RequestVariant, VariantLabel, VariantTable
from demo.form.form import Form, SubjectForm
from mmdiff_core.types import GenerateRequest

FORM = Form("a cat", (SubjectForm(0, "cat", ()),))


CASE = FormRequest(FORM, GenerateRequest("a cat"))


def finished_comparison(
    columns: list[VariantLabel], seeds: list[int], folder: Path, against_first: bool = False
) -> Comparison:
    """Pictures of these variants with each of the seeds."""
    comparison = Comparison()
    comparison.begin(VariantTable("parts", "seed", tuple(columns), (), (), against_first), FORM)
    for row, seed in enumerate(seeds):
        for column, label in enumerate(columns):
            name = f"{label.key}{label.value}-{seed}"
            path = folder / f"{name}.png"
            Image.new("RGB", (8, 8), (column * 40, seed, 0)).save(path)
            variant = RequestVariant(column, row, (label, VariantLabel("seed", str(seed))), CASE)
            comparison.cells[name] = ComparisonCell(variant, seed, {"name": name, "image": {"path": str(path)}})
    return comparison
