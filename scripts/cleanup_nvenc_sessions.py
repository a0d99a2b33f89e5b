"""List or end leftovers of dead workers: ``scripts/cleanup_nvenc_sessions.py [--kill]``."""

import sys

import bootstrap

bootstrap.run_metabonk("nvenc", "cleanup", *sys.argv[1:])
