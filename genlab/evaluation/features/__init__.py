"""The feature space of each data set, in which sets of examples are compared.

`python -m genlab.commands.feature_weights` makes the weights that lie here.
"""

from genlab.evaluation.features.space import FeatureSpace, feature_space

__all__ = ["FeatureSpace", "feature_space"]
