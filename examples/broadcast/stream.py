"""Pictures of anything: here, of a matrix while it converges."""

import numpy as np

import metabonk

stream = metabonk.Stream("matrix", fps=30)
matrix = np.random.default_rng(0).random((64, 64))
for step in range(100_000):
    matrix = (matrix + np.roll(matrix, 1, 0) + np.roll(matrix, 1, 1)) / 3
    stream.show((255 * matrix).astype(np.uint8), text=f"step {step}")
