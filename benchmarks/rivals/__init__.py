"""Trainers of other libraries, each in a separate virtual environment, for ``throughput``."""
