"""Hypothesis without a time limit an example: the machine may be busy."""

from hypothesis import settings

settings.register_profile("earlybird", deadline=None)
settings.load_profile("earlybird")
