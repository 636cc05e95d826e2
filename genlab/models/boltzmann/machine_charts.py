"""Learning curves that belong together for every Boltzmann machine, and what they show."""

from genlab.models.base import Charts
from genlab.plots.learning_curves import Chart

CHARTS: Charts = {
    "quality without Z": Chart(
        ["monitor/pseudo_log_likelihood", "monitor/score_matching"],
        "Held-out examples: pseudo-likelihood of binary units (rises), or score-matching loss of Gaussian ones (falls).",
    ),
    "free energy": Chart(
        ["monitor/free_energy"], "Mean F(x) of training examples, in nats. Its level means nothing, as Z moves."
    ),
    "overfitting": Chart(
        ["monitor/free_energy_gap"],
        "F of training minus F of held-out examples. Below 0 the machine prefers what it has seen.",
        {"0": 0.0},
    ),
    "positive against negative phase": Chart(
        ["train/visible_gap", "train/hidden_gap"],
        "Root mean square difference of the mean units between data and chains. Near 0 the two phases agree.",
        {"0": 0.0},
    ),
}
