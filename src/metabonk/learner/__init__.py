"""The process that learns: rollouts in, weights out.

``process``     wires everything below together, and ends it
``http``        its routes
``queue``       rollouts that wait, in bounded memory
``batch``       rollouts as tensors
``advantages``  GAE and V-trace, pure
``losses``      clipped surrogate, value loss, entropy, pure
``appo``        the update
``checkpoint``  files that a run is continued from
``figures``     what the learner says of itself
"""
