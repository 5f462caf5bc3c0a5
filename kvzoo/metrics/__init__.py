"""Metrics: functions of NumPy arrays. Nothing here imports Keras."""
