"""The Ising model on a square lattice: what is known of it exactly, and a sampler."""
