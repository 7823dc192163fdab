"""Several processes on CPUs, as ``accelerate launch --cpu --num_processes N`` promises them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import psutil

from mmdiff_core.errors import SettingsError

# What MPI and torchrun set in the processes that they start.
STARTED = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
FLAGS = ("--num_processes", "--num-processes")


def start_all_processes() -> None:
    """Become the processes that were asked for; does nothing where they run already, or one is enough.

    On CPUs accelerate's launcher leaves the processes to MPI. Without that it starts a single one, which would train
    with a part of the batch and say nothing. That one is replaced here by torchrun with the number that was asked for.

    Raises:
        SettingsError: several were asked for, but how many cannot be found out.
    """
    if not only_one_started(os.environ):
        return
    count = count_of(psutil.Process(os.getppid()).cmdline())
    if count is None:
        raise SettingsError(
            'Several processes were asked for on the CPU, but one was started. Say "torchrun --nproc_per_node N -m '
            'mmdiff_core ..." in the place of "accelerate launch".'
        )
    meeting = ("--master_addr", os.environ["MASTER_ADDR"], "--master_port", os.environ["MASTER_PORT"])
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *meeting, *started(count, sys.argv[1:])])


def started(count: int, arguments: Sequence[str]) -> list[str]:
    """What to tell torchrun, so that it starts us ``count`` times with our arguments.

    After "--" it takes none of them for an abbreviation of its own, as --start of --start-method.
    """
    return ["--nproc_per_node", str(count), "-m", "--", "mmdiff_core", *arguments]


def only_one_started(environment: Mapping[str, str]) -> bool:
    """Whether accelerate's launcher was asked for several processes on the CPU and started this one alone.

    It sets an address to meet at if there are several, and whoever starts them their number.
    """
    return on_cpu(environment) and "MASTER_PORT" in environment and not any(name in environment for name in STARTED)


def on_cpu(environment: Mapping[str, str]) -> bool:
    """Whether accelerate's launcher was asked to leave GPUs alone."""
    return environment.get("ACCELERATE_USE_CPU", "").lower() == "true"


def count_of(command: Sequence[str]) -> int | None:
    """The number of processes in a launcher's command line, if there is one."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in FLAGS:
            number = value or following
            return int(number) if number.isdecimal() else None
    return None
