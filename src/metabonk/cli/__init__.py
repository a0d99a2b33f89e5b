"""The command line: one module a sub-command, imported only when it is the one that was asked for.

Each has ``add_arguments(parser)`` and ``run(arguments) -> int``, the exit code.
"""
