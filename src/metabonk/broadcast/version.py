"""The version of MetaBonk in this process."""

from importlib.metadata import PackageNotFoundError, version


def metabonk_version() -> str:
    """Return the installed version; 0 in a checkout that is not installed."""
    try:
        return version("metabonk")
    except PackageNotFoundError:
        return "0"
