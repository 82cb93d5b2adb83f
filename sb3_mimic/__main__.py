"""Runs ``sb3-mimic`` as ``python -m sb3_mimic``."""

import sys

from sb3_mimic.cli.main import main

sys.exit(main())
