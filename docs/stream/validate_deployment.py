"""Check a running fleet: ``python docs/stream/validate_deployment.py [--json]``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bootstrap

bootstrap.run_metabonk("validate", *sys.argv[1:])
