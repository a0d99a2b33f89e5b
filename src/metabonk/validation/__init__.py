"""Whether a running fleet is what it should be, found by really looking.

``look``    asks the fleet, decodes its streams, loads its page
``checks``  what should be so; pure
"""

from metabonk.validation.checks import CHECKS, Check, Seen, validate
from metabonk.validation.inspect import look

__all__ = ["CHECKS", "Check", "Seen", "look", "validate"]
