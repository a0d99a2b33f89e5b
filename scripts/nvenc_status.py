"""``python scripts/nvenc_status.py --workers 2``: who holds encoder sessions."""

import sys

import bootstrap

bootstrap.run_metabonk("nvenc", "status", *sys.argv[1:])
