"""The process that the fleet belongs to: it starts, watches, shows and ends everything else.

``process``      wires everything below, and ends it
``hub``          the same without a fleet, for environments of other trainers
``hub_settings`` its ports and folders
``supervision``  one round after another of both
``preflight``    checks before a start
``lock``         one fleet at a time, and its record for other commands
``election``     one process of a user that shows environments of other trainers
``ring_finder``  the look for these
``guests``       a child for each of them
``children``     command lines of the learner and the workers
``go2rtc``       go2rtc as a further child
``go2rtc_proxy`` go2rtc's port, with the checks of every loopback port
``supervisor``   child processes: staggered starts, restarts, a clean end
``exit_report``  cause of a child's end, from its exit status and its log
``cleanup``      cleanup after killed games
``roster``       table of the workers, guests included
``registry``     last status of every worker
``director``     assignment of workers to live or standby
``handover``     keeps a worker live until the one that follows is ready
``event_log``    events for viewers, encoder sessions for the log
``fleet``        all of that under one lock
``health``       polling of what nobody reports; quarantine of encoders that crash workers
``api``          HTTP routes
``metrics``      Prometheus metrics of the fleet
``gateway``      every worker's stream through the page's port
``forwarding``   unbuffered forwarding for both
``page``         the web page's files
``servers``      applications of both ports and their servers
"""
