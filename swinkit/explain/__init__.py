"""What a model looks at, and whether a map of that can be trusted. Submodules are imported when they are first named."""

from ..lazy import submodules

__all__, __getattr__ = submodules(__name__, __path__)
