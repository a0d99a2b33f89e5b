"""``python scripts/stop.py --all``: stops a running fleet."""

import sys

import bootstrap

bootstrap.run_metabonk("stop", *sys.argv[1:])
