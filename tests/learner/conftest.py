"""One thread for PyTorch: on cores that are in use, several mostly wait for each other."""

import torch

torch.set_num_threads(1)
