"""`python -m refdiff` is `refdiff`."""

import sys

from refdiff.cli import main

sys.exit(main())
