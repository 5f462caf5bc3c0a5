"""A recipe becomes a run: folder, training, checkpoints, samples."""
