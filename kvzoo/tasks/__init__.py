"""What models are trained for: how examples are shown, what a model is worth, which networks are sound; one file a task."""
