"""``python -m mmdiff_core``."""

import sys

from mmdiff_core.cli import main

sys.exit(main())
