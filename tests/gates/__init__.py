"""The gates that the oracle itself must pass: `python -m tests.gates`."""
