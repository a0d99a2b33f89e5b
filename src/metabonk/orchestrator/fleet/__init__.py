"""What is known of the fleet, and what is decided for it.

``roster``         table of the workers, guests included
``registry``       last status of every worker
``starts``         processes that are not there yet
``viewers``        count of the people who watch
``director``       assignment of workers to live or standby
``handover``       keeps a worker live until the one that follows is ready
``program_demand`` who wants the program, and where it is served
``on_air``         switch and report of what goes on air
``incidents``      what somebody should be woken for
``event_log``      events for viewers, encoder sessions for the log
``event_file``     events on disk
``state``          all of that under one lock
"""
