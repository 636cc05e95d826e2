"""`python -m genlab`, the same as `genlab`."""

import sys

from genlab.cli import main

sys.exit(main())
