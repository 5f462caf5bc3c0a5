"""Videos to batches of examples: sources, samplers and the input pipeline."""
