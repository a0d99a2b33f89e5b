"""The process that everything else belongs to: it starts, watches, shows and ends the fleet.

``process``     wires everything below together, and ends it
``supervisor``  child processes: spaced starts, restarts with back-off, a stop that leaves nothing
``groups``      processes and process groups, told apart from later ones of the same id
``lock``        one fleet at a time, and who it is for other commands
``registry``    what each worker said last, and when
``director``    who should be live
``state``       all of that under one lock, as the routes and the terminal see it
``store``       episodes in SQLite; ``curve``: the learning curve
``api``         the HTTP routes; ``metrics``: Prometheus
``gateway``     the page's files, and every worker's stream through one port
"""
