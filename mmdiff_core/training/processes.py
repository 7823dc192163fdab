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
    address = ("--master_addr", os.environ["MASTER_ADDR"], "--master_port", os.environ["MASTER_PORT"])
    module = ("--nproc_per_node", str(count), *address, "-m", "mmdiff_core", *sys.argv[1:])
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *module])


def only_one_started(environment: Mapping[str, str]) -> bool:
    """Whether accelerate's launcher was asked for several processes on the CPU and started this one alone.

    It sets an address to meet at if there are several, and whoever starts them their number.
    """
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() == "true"
    return on_cpu and "MASTER_PORT" in environment and not any(name in environment for name in STARTED)


def count_of(command: Sequence[str]) -> int | None:
    """The number of processes in a launcher's command line, if there is one."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in FLAGS:
            number = value or following
            return int(number) if number.isdecimal() else None
    return None
