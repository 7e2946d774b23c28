"""refdiff's first client: Hugging Face diffusers, asked everything that it has.

`python -m tests.peers` writes the table; `pytest tests/peers` holds it to what it says.
Needs the extra `peers` (torch, diffusers), which refdiff itself never imports.
"""
