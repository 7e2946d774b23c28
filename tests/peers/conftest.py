"""What is asked of diffusers is collected only where diffusers is installed."""

import importlib.util

# The extra `peers` is optional: without it there is nobody to ask.
if not all(map(importlib.util.find_spec, ("torch", "diffusers"))):
    collect_ignore_glob = ["test_*.py"]
