"""What to look at while a diffusion model trains."""

from genlab.models.base import Charts
from genlab.plots.learning_curves import Chart

BINS = 10  # of noise levels, for the log
SCHEDULE_CHART = "ends of the schedule"

CHARTS: Charts = {
    "the bound and its terms": Chart(
        ["eval/bound", "eval/reconstruction", "eval/prior", "eval/denoising"],
        "Validation examples, in nats. Bound = reconstruction - prior matching - denoising (the consistency of all levels). "
        "Prior matching has nothing to learn and is nearly 0; the denoising term is what the training lowers.",
    ),
    "squared error of the noise by level": Chart(
        [f"monitor/noise_mse_{k}" for k in range(1, BINS + 1)],
        "Per component, in tenths of the levels from the least noise (1) to the most (10). A network that predicts 0 has 1.",
        logarithmic=True,
    ),
    SCHEDULE_CHART: Chart(["train/gamma_0", "train/gamma_1"], "gamma = -log SNR at the least and at the most noise."),
}
