"""Kernels: faster ways to compute what stock Keras layers and optimizers compute, with the same numbers."""
