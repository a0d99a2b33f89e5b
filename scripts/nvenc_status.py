"""List holders of encoder sessions: ``python scripts/nvenc_status.py --workers 2``."""

import sys

import bootstrap

bootstrap.run_metabonk("nvenc", "status", *sys.argv[1:])
