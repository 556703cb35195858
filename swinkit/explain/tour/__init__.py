"""The tour: one interactive page that walks through Swin on a picture, every number and drawing computed by the library for it."""

from ...lazy import submodules

__all__, __getattr__ = submodules(__name__, __path__)
