"""The process that learns: rollouts in, weights out.

``process``     wires everything below together, and ends it
``http``        its routes
``queue``       rollouts that wait, in bounded memory
``batch``       rollouts as tensors
``advantages``  GAE and V-trace, pure
``losses``      clipped surrogate, value loss, entropy, pure
``appo``        the update
``checkpoint``  files that a run is continued from; ``saves``: when they are written
``returns``     how well the policy does
``figures``     what the learner says of itself; ``events``: the same as curves for TensorBoard
"""
