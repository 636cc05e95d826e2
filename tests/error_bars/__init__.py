"""Do stated errors cover the truth? Every measure that genlab prints with +-, many times over, on data whose truth is known."""
