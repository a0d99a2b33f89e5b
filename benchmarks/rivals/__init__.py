"""Other people's trainers, each in a virtual environment of its own, for ``throughput``."""
