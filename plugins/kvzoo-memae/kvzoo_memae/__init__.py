"""MemAE: the memory-augmented autoencoder, its loss `mse_entropy` and the callback `memory_use`, for kvzoo."""
