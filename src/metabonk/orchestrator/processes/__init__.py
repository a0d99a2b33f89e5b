"""Child processes of the orchestrator.

``children``      command lines and environments of a fleet's processes
``go2rtc``        go2rtc as a further child
``ray_agents``    the child that starts agents on the nodes of a Ray cluster
``supervisor``    staggered starts, restarts, a clean end
``child_process`` one of them, with everything that it started
``exit_report``   cause of a child's end, from its exit status and its log
``faults``        failures of the system that supervision outlives
``cleanup``       cleanup after killed games
"""
