"""Inverse temperatures of annealed chains: beta rises from 0, a distribution that is known exactly, to 1, the model."""

RAMP = 0.8  # share of the transitions in which beta rises; it is 1 in the rest


def annealed_betas(steps: int) -> list[float]:
    """beta of each of `steps` transitions: it rises to 1 in even steps, then stays there."""
    rising = max(1, round(RAMP * steps))
    return [min(1.0, (i + 1) / rising) for i in range(steps)]
