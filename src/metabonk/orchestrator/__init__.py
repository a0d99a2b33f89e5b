"""The process that everything else belongs to: it starts, watches, shows and ends the fleet.

``process``     wires everything below together, and ends it
``supervisor``  child processes: spaced starts, restarts with back-off, a stop that leaves nothing
``sweeper``     has what killed games left removed, in a process of its own
``groups``      processes and process groups, told apart from later ones of the same id
``lock``        one fleet at a time, and who it is for other commands
``registry``    what each worker said last, and when
``director``    who should be live; ``handover``: each is shown until the next one is ready
``state``       all of that under one lock, as the routes and the terminal see it
``tallies``     what each worker has counted, over all processes that it has been
``journal``     what has happened, for people who watch
``store``       episodes in SQLite; ``curve``: the learning curve
``api``         the HTTP routes over the fleet; ``metrics``: Prometheus
``events``      the journal as server-sent events; ``logs``: the end of a log
``holders``     encoder sessions and who holds them
``archive``     runs as they can be read back; ``history``: the routes over them
``gateway``     every worker's stream through the page's port; ``page``: the page's own files
``runs``        folders of runs; ``preflight``: what is checked before a start
``watch``       asks for what nobody tells: the learner, encoder sessions, free disk
``obituary``    why a child process died; ``suspicion``: whether an encoder was to blame
"""
