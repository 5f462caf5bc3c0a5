"""MoCoGAN, for kvzoo."""
