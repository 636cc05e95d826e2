"""genlab's training loops beside those of others: one file a family, whose loops take turns."""

from genlab.numerics.waiting import wait_as_fits

wait_as_fits()  # before torch starts its threads, as genlab does for itself, here for every loop alike
