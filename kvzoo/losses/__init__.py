"""Losses: how a model is trained. One file a loss, and what they share."""
