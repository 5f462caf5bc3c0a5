"""The ConvLSTM autoencoder and the source `bouncing_digits`, for kvzoo."""
