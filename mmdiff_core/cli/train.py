"""``python -m mmdiff_core train``: the built-in model from nothing, or an adapter for Stable Diffusion."""

from __future__ import annotations

import argparse

from mmdiff_core.cli.train_sd import add_pack_parser, add_sd_parser
from mmdiff_core.cli.train_toybox import add_export_parser, add_toybox_parser


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``train`` with its two models, ``export`` and ``pack``; importing torch waits until one runs."""
    parser = subparsers.add_parser(
        "train",
        help="train the built-in model, or an adapter for Stable Diffusion on annotated images",
        description="Train a model. Ctrl-C saves and stops; the same command continues.",
    )
    models = parser.add_subparsers(dest="trained", required=True, metavar="model")
    add_toybox_parser(models)
    add_sd_parser(models)
    add_export_parser(subparsers)
    add_pack_parser(subparsers)
