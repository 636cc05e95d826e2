"""The yardstick of speed: how fast a model trains and samples, and what share of this machine that is."""
