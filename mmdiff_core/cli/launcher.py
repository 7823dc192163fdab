"""Checks on who started this process."""

from __future__ import annotations

from collections.abc import Mapping

from mmdiff_core.errors import SettingsError

# What torchrun and MPI set in the processes that they start.
WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def check_launcher(environment: Mapping[str, str]) -> None:
    """Refuse the one process that ``accelerate launch --cpu --num_processes N`` starts where there is no MPI.

    It would train with a part of the batch and say nothing.

    Raises:
        SettingsError: several processes were asked for, and one was started.
    """
    if on_cpu(environment) and "MASTER_PORT" in environment and not any(name in environment for name in WORLD_SIZES):
        raise SettingsError(
            "accelerate launch starts a single process on CPUs. To start several, use: torchrun --nproc-per-node N -m "
            "mmdiff_core ..."
        )


def on_cpu(environment: Mapping[str, str]) -> bool:
    """Whether ``accelerate launch --cpu`` started this process."""
    return environment.get("ACCELERATE_USE_CPU", "").lower() == "true"
