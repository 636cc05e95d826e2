"""Measuring a trained model on held-out data: the same yardsticks for every family, each with its error."""
