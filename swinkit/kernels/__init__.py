"""Optional native kernels: built on first use where there is a compiler, exact, and never needed."""

from ..lazy import submodules

__all__, __getattr__ = submodules(__name__, __path__)
