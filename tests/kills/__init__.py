"""Kill and resume: trainings that are killed with SIGKILL at every kind of moment and resumed, beside undisturbed ones."""
