"""A trained model for others: files that need PyTorch, and no genlab."""
