"""The process that learns: rollouts in, weights out.

``process``         the learner process
``server``          its HTTP routes, and the newest weights
``rollouts``        rollouts checked, and queued while it trains
``memory``          a check that a batch fits into memory
``batch``           rollouts as tensors, and the network's output for them
``losses``          GAE, V-trace, the PPO losses and the learning rate; pure
``ppo``             the update
``gradient_step``   one gradient step, which never waits for a GPU
``minibatch``       a part of a batch, in memory that the next one takes over
``minibatch_step``  gradient steps on minibatches, recorded where there is a GPU
``checkpoint``      files that a run is resumed from, and when they are written
``stats``           the learner's status, and its curves for TensorBoard
``tracking``        delivery of the curves to experiment trackers
``trackers``        Weights & Biases and MLflow
"""
