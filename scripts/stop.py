"""Stop a running fleet: ``python scripts/stop.py --all``."""

import sys

import bootstrap

bootstrap.run_metabonk("stop", *sys.argv[1:])
