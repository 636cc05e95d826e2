"""Optimizers and learning-rate schedules; `_target_` in conf/optimizer names the functions here."""

from genlab.optimizers.algorithms import adagrad, adam, adamw, lbfgs, momentum, nesterov, rmsprop, sgd

__all__ = ["adagrad", "adam", "adamw", "lbfgs", "momentum", "nesterov", "rmsprop", "sgd"]
