"""Picture sets known by name: two small ones that come with the package, and full Fashion-MNIST where it is installed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from .collection import Collection
from .idx import find_idx, open_idx

ASSETS = Path(__file__).parent.parent / "assets"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist

BUNDLED = {
    "digits": "1,797 hand-written digits of 8x8 (UCI, CC BY 4.0)",
    "fashion-mini": "1,000 pictures of Fashion-MNIST's test set, 100 a class (MIT)",
    "fashion": "all 70,000 pictures of Fashion-MNIST, from Debian's package dataset-fashion-mnist or $SWINKIT_FASHION",
}


def is_bundled(data: str | Path, format: str | None = None) -> bool:
    """Whether ``data``, of layout ``format`` where one is given, names such a set; a :class:`Path` is a place, whatever it is called."""
    return format == "bundled" or (format is None and isinstance(data, str) and data in BUNDLED)


def open_bundled(name: str) -> Collection:
    """The picture set called ``name``, a key of ``BUNDLED``. Raises :class:`DataError` when it is not on this machine."""
    collection = open_idx(find_bundled(name), f"picture set {name!r}: {BUNDLED[name]}", "bundled")
    return replace(collection, classes=open_bundled("fashion-mini").classes) if name == "fashion" else collection


def find_bundled(name: str) -> Path:
    """Its folder; raises as :func:`open_bundled` does."""
    if name not in BUNDLED:
        raise DataError(f"No picture set is called {name!r}; there are {', '.join(BUNDLED)}")
    return fashion_folder() if name == "fashion" else ASSETS / name


def fashion_folder() -> Path:
    """Folder of the full Fashion-MNIST: $SWINKIT_FASHION, or where Debian puts it."""
    places = [Path(os.environ["SWINKIT_FASHION"])] if os.environ.get("SWINKIT_FASHION") else [DEBIAN]
    for place in places:
        if place.is_dir() and len(find_idx(place)) >= 2:
            return place
    raise DataError(
        f"Full Fashion-MNIST is not in {places[0]}. Mend: apt-get install dataset-fashion-mnist, or set SWINKIT_FASHION "
        "to a folder with its four files (train-images-idx3-ubyte.gz, …). The bundled 'fashion-mini' needs neither."
    )
