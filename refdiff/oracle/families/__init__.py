"""What the oracle asks for and the chapters do not hold, in float64."""
