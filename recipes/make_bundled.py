"""Makes the picture sets in swinkit/assets: `python recipes/make_bundled.py [FOLDER OF FASHION-MNIST]`.

fashion-mini: of each class the first 100 pictures of Fashion-MNIST's test set. digits: all of scikit-learn's (needs scikit-learn).
"""

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from swinkit.data.bundled import ASSETS, fashion_folder
from swinkit.data.idx import read_idx

PER_CLASS = 100
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(header + values.tobytes(), 9, mtime=0))


def make_fashion_mini(source: Path) -> None:
    images = read_idx(source / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(source / "t10k-labels-idx1-ubyte.gz")
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:PER_CLASS] for label in range(10)]))
    write_idx(ASSETS / "fashion-mini/images-idx3-ubyte.gz", images[chosen])
    write_idx(ASSETS / "fashion-mini/labels-idx1-ubyte.gz", labels[chosen])
    (ASSETS / "fashion-mini/classes.txt").write_text("\n".join(FASHION) + "\n")


def make_digits() -> None:
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    write_idx(ASSETS / "digits/images-idx3-ubyte.gz", images)
    write_idx(ASSETS / "digits/labels-idx1-ubyte.gz", digits.target.astype(np.uint8))
    (ASSETS / "digits/classes.txt").write_text("\n".join(str(name) for name in digits.target_names) + "\n")


if __name__ == "__main__":
    make_fashion_mini(Path(sys.argv[1]) if len(sys.argv) > 1 else fashion_folder())
    make_digits()
