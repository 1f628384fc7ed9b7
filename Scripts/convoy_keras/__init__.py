"""Weights of Keras models for Convoy, and back. `Scripts/keras_weights.py` is the command line."""
