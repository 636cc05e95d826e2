"""genlab's training loops beside those of others: one file a family, all loops in one process, taking turns."""

import os

# As genlab sets it for itself before torch starts its threads (genlab/cli.py says why), here for every loop alike.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
