"""Settings shared by all tests: Hypothesis draws the same examples every time."""

import hypothesis

hypothesis.settings.register_profile(
    "refdiff", deadline=None, derandomize=True, max_examples=40, database=None
)
hypothesis.settings.load_profile("refdiff")
