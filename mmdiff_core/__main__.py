"""``python -m mmdiff_core``."""

import sys

from mmdiff_core.cli.main import main

sys.exit(main())
