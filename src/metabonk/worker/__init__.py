"""The process that plays: it acts, streams what it sees, and sends what it lived through.

``process``    wires everything below together, and ends it
``play``       the game and the policy, in the play thread
``streamer``   frames to the encoder and the hub, in the encode thread
``uplink``     rollouts to the learner and weights back, in a thread of its own
``heartbeat``  how it is, to the orchestrator; what the director wants, back
``status``     the status object
``app``        the HTTP server's routes
``pacing``     the clock of live play
"""
