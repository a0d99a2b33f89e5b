"""Trained policies outside a fleet. A library; it knows no process.

``trained``  the policy of a run, loaded from one of its checkpoints
``policy``   plays an environment that its caller owns: ``metabonk.load_policy``
``program``  a policy as a computation from observation to action, for other programs to run
``export``   writes it to a file for PyTorch or ONNX Runtime
"""

from metabonk.inference.policy import TrainedPolicy, load_policy

__all__ = ["TrainedPolicy", "load_policy"]
