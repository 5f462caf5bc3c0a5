"""Synthetic sources: worlds whose videos are drawn from a seed, one file a source, and what they share."""
