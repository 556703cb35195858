"""A busy machine's clock decides nothing: property tests have no deadline."""

from hypothesis import settings

settings.register_profile("swinkit", deadline=None)
settings.load_profile("swinkit")
