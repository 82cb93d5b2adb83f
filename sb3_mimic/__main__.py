"""Lets ``python -m sb3_mimic`` do what ``sb3-mimic`` does."""

import sys

from sb3_mimic.cli.main import main

sys.exit(main())
