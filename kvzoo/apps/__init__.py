"""Uses of a trained run."""
