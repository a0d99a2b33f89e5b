"""Entry point of a forked child in tests: ``python -m tests.support.forked SOURCE ARGUMENT …``."""

import sys

if __name__ == "__main__":
    source = sys.argv.pop(1)
    exec(compile(source, "<forked>", "exec"))
