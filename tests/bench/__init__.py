"""The benchmark: `python -m tests.bench`, about ten minutes. No part of pytest."""
