"""The agent of a node: a machine that plays for a fleet whose page and learner are elsewhere.

``agent``         joins the head, and joins it again
``session``       one epoch: everything from a join until the head is lost
``head``          the head as the agent sees it, over HTTP
``uplink``        reports to it, and the fence that falls when it doesn't answer
``workers``       the workers that it gives to this node
``learner_port``  the learner as the node's workers see it
``port``          the node's port, by which the head reaches workers
``ray_launcher``  starts agents on a Ray cluster, each in an actor (``ray_agent``)
``settings``      settings of a node: the fleet's, with what belongs to the machine
"""
