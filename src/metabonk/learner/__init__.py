"""The process that learns: rollouts in, weights out.

``process``     the learner process
``server``      its HTTP routes, the queue of rollouts and the newest weights
``memory``      a check that a batch fits into memory
``batch``       rollouts as tensors, and the network's output for them
``losses``      GAE, V-trace, the PPO losses and the learning rate; pure
``ppo``         the update
``checkpoint``  files that a run is resumed from, and when they are written
``stats``       the learner's status, and its curves for TensorBoard
"""
