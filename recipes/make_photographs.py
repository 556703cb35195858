"""Makes swinkit/assets/photographs from those of scikit-image: `pip install scikit-image==0.26`, then `python recipes/make_photographs.py`.

Only photographs whose author put them under CC0 or that are in the public domain; swinkit/assets/photographs/LICENSE names each.
"""

from pathlib import Path

import skimage.data
from PIL import Image

from swinkit.data.bundled import ASSETS

SOURCES = {
    "astronaut": "astronaut.png", "brick": "brick.png", "camera": "camera.png", "chelsea": "chelsea.png", "clock": "clock_motion.png",
    "coffee": "coffee.png", "grass": "grass.png", "gravel": "gravel.png", "hubble": "hubble_deep_field.jpg", "rocket": "rocket.jpg",
}  # fmt: skip
LONGEST, QUALITY = 384, 85

if __name__ == "__main__":
    target = ASSETS / "photographs"
    target.mkdir(exist_ok=True)
    for name, source in SOURCES.items():
        picture = Image.open(Path(skimage.data.__file__).parent / source).convert("RGB")
        picture.thumbnail((LONGEST, LONGEST))
        picture.save(target / f"{name}.jpg", quality=QUALITY, optimize=True)
