"""The worker process: plays, trains and streams.

In the order of the data:

``process``          composes a worker of a game, a policy and a stream
``scheduling``       how many games it plays, and how they share the cores
``sampler``          games that nobody watches, stepped together
``play``             the play threads, live and in standby
``progress``         its steps and episodes
``saliency``         saliency maps for viewers who ask
``learner_client``   rollouts to the learner, weights back
``shared_inference`` the connection to an inference server
``stream``           everything that shows one source of frames
``frame_queue``      frames waiting for the encoder
``streamer``         the encode thread
``encode_watchdog``  detection of encoders that hang
``load``             measurement of a stream's load
``quality``          stream quality that the machine can keep up with
``identity``         name, index and port
``status``           the status object and its routes
``heartbeat``        heartbeats to the orchestrator, its assignment back
"""
