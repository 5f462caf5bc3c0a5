"""Recipes: YAML that names data, a model, a loss and fit settings. Nothing here imports Keras."""
