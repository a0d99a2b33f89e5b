"""The command line: one module per sub-command, imported only when it is run.

Each has ``add_arguments(parser)`` and ``run(arguments) -> int``, the exit code.
"""
