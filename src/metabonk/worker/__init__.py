"""The process that plays: it acts, streams what it sees, and sends what it lived through.

``process``    wires everything below together, and ends it
``play``       the games and the policy, live or in standby
``lane``       one game and its episode
``lanes``      all of them, as they open
``rounds``     plays those that nobody watches, as fast as it goes
``gaze``       where the network looks, for viewers who ask
``streamer``   frames to the encoder and the hub, in the encode thread
``uplink``     rollouts to the learner and weights back, in a thread of its own
``heartbeat``  how it is, to the orchestrator; what the director wants, back
``status``     the status object
``app``        the HTTP server's routes
``pacing``     the clock of live play
"""
