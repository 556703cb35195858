"""What was found as pages and charts, each in one file. Submodules are imported when they are first named."""

from ..lazy import submodules

__all__, __getattr__ = submodules(__name__, __path__)
