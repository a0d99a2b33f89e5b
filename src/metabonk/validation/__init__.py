"""Five checks of a running fleet, made from outside as its users see it.

``inspect``         asks the fleet and counts its sessions
``inspect_stream``  decodes a worker's stream
``inspect_page``    loads the page, in a browser where there is one
``observations``    what was found
``checks``          rules over that; pure
"""

from metabonk.validation.checks import CHECKS, Check, validate
from metabonk.validation.inspect import inspect
from metabonk.validation.observations import FleetObservation

__all__ = ["CHECKS", "Check", "FleetObservation", "inspect", "validate"]
