"""genlab: a command-line laboratory for generative models."""

__version__ = "0.1.0"
