"""A run continues with the settings that it was started with, also where an earlier version wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.errors import SettingsError
from mmdiff_core.training.run_config import FILE, check_run_config, write_run_config

CONFIG = {"base": "sd", "recipe": {"size": 32, "training": {"lr": 1e-4, "weight_decay": 0.0, "time_budget": 0.0}}}


def test_a_new_folder_and_the_same_settings_pass(tmp_path: Path) -> None:
    check_run_config(tmp_path, CONFIG)
    write_run_config(tmp_path, CONFIG)
    check_run_config(tmp_path, CONFIG)


def test_a_setting_that_differs_is_named(tmp_path: Path) -> None:
    write_run_config(tmp_path, CONFIG)
    other = {**CONFIG, "recipe": {"size": 32, "training": {"lr": 2e-4, "weight_decay": 0.0, "time_budget": 0.0}}}
    with pytest.raises(SettingsError, match=r"started with recipe training lr 0.0001, not 0.0002"):
        check_run_config(tmp_path, other)


def test_the_names_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    old = {"base": "sd", "recipe": {"size": 32, "training": {"rate": 1e-4, "decay": 0.0, "within": 0.0}}}
    (tmp_path / FILE).write_text(json.dumps(old))
    check_run_config(tmp_path, CONFIG)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(SettingsError, match=r"run\.json"):
        check_run_config(tmp_path, CONFIG)
