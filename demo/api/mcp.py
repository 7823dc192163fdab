"""The endpoints as MCP tools: with GRADIO_MCP_SERVER=True, and an extra installed."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec

logger = logging.getLogger(__name__)

MISSING = (
    "GRADIO_MCP_SERVER asks for an MCP server, but the extra for it is not installed: "
    'run pip install "gradio[mcp]" and start again. The page is served without it.'
)


def mcp_server() -> bool:
    """Whether to serve MCP; warns where the extra for it is missing."""
    if os.environ.get("GRADIO_MCP_SERVER", "").strip().lower() not in ("true", "1", "yes"):
        return False
    if find_spec("mcp") is None:
        logger.warning(MISSING)
        return False
    return True
