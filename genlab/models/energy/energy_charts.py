"""What to look at while an energy-based model trains."""

from genlab.models.base import Charts
from genlab.plots.learning_curves import Chart

CHARTS: Charts = {
    "energies": Chart(
        ["train/energy_data", "train/energy_samples", "eval/energy_data", "eval/energy_samples"],
        "Mean energy of data and of the chains' samples. Training lowers that of data and raises that of samples.",
    ),
    "gap": Chart(
        ["train/energy_gap", "eval/energy_gap", "monitor/free_energy_gap"],
        "Energy of data minus that of samples; free energy gap: of training minus held-out data. Near 0: the chains sample what "
        "the network takes for data, and it knows no training example by heart.",
        {"0": 0.0},
    ),
    "chains": Chart(
        ["train/slope", "train/acceptance", "train/step"],
        "Slope of the energy along the chains; with a Metropolis correction the acceptance rate and the step too.",
    ),
}
