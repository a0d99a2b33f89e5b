"""``python scripts/cleanup_nvenc_sessions.py [--kill]``: what dead workers left behind."""

import sys

import bootstrap

bootstrap.run_metabonk("nvenc", "cleanup", *sys.argv[1:])
