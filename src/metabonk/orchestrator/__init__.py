"""The process that the fleet belongs to: it starts, watches, shows and ends everything else.

``process``      wires everything below, and ends it
``hub``          the same without a fleet, for environments of other trainers
``hub_settings`` its ports and folders
``preflight``    checks before a start
``lock``         one fleet at a time, and its record for other commands
``unrecorded``   running fleets whose record was lost
``processes``    child processes: their command lines, staggered starts, restarts, a clean end
``fleet``        what is known of the fleet and decided for it, under one lock
``supervision``  one round after another: hung children, the machine's health
``guests``       environments of other trainers, and the election of who shows them
``nodes``        the machines of a fleet of several
``program``      the stream that follows the director, and what goes on air
``replays``      episodes rendered on request, and videos of the best
``alerts``       incidents, told to a webhook
``gateway``      every worker's stream through the page's port
``api``          HTTP routes
``run_routes``   those about runs
``event_routes`` those about events
``embed_routes`` addresses of tiles for pages elsewhere
``feed``         the fleet as it changes, for open pages
``metrics``      Prometheus metrics of the fleet
``page``         the web page's files
``servers``      applications of both ports and their servers
"""
