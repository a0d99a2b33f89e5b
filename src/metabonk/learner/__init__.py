"""The process that learns: rollouts in, weights out.

``process``     wires everything below together, and ends it
``http``        its routes
``queue``       rollouts that wait, in bounded memory
``room``        whether a batch fits into memory
``batch``       rollouts as tensors
``passes``      what the network says of a batch, all at once and in parts
``advantages``  GAE and V-trace, pure
``losses``      clipped surrogate and value loss, pure
``schedule``    the step size over time, pure
``appo``        the update
``checkpoint``  files that a run is continued from
``saves``       when they are written
``returns``     how well the policy does
``figures``     what the learner says of itself
``events``      the same as curves for TensorBoard
"""
