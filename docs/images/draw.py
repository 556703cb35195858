"""The pictures of README and docs, taken anew in Chromium from pages that the present code wrote in the folder WORK.

    swinkit demo --out WORK/demo
    swinkit tour --repeats 0 --lang en --out WORK/tour.en.html
    swinkit tour --repeats 0 --lang ru --out WORK/tour.ru.html
    python -m experiments.pointing_game --versions 1 --save WORK/models --out WORK/game.json
    python docs/images/draw.py WORK --scene WORK/scene.png
    cd WORK && swinkit explain models/swin_nano scene.png --out why
    python docs/images/draw.py WORK --clothes WORK/clothes.png
    cd WORK && swinkit explain swin_nano.simmim_fashion_mnist clothes.png --reconstruct --out painted
    python docs/images/draw.py WORK

Of pages that are not there, the picture stays as it is.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from swinkit.data.bundled import open_bundled

HERE = Path(__file__).parent
SCENE = 5  # of the pointing game's, with two classes beside one another
CLOTHES = 9  # of fashion-mini's, none of which the bundled network learned from
WIDE = 1000  # pixels of a window in which three drawings stand side by side
GAP = 24  # pixels around a chapter


def top_of_page(page: Page, width: int, height: int, path: Path) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.screenshot(path=path)


def shifted_windows(page: Page, path: Path) -> None:
    """The chapter on shifted windows with its last window, the one that holds pieces from all edges."""
    figure = page.locator("[data-widget=shift]")
    figure.locator("input[value=cyclic]").check()
    while not figure.locator("output").inner_text().startswith("4"):
        figure.locator("button.on").click()
    chapter = page.locator("section", has=figure)
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(0, 0)  # off the button, which shows that it is pointed at
    page.set_viewport_size({"width": WIDE, "height": 20_000})  # nothing that sticks to an edge lies over it
    top, end = chapter.locator("h2").bounding_box(), figure.bounding_box()
    assert top is not None
    assert end is not None
    height = end["y"] + end["height"] - top["y"]
    clip = {"x": end["x"] - GAP, "y": top["y"] - GAP, "width": end["width"] + 2 * GAP, "height": height + 2 * GAP}
    page.screenshot(path=path, clip=clip)  # type: ignore[arg-type]


def take(browser: Browser, source: Path, name: str, scale: float, shot: Any) -> None:
    if not source.is_file():
        print(f"{name}: no {source}")
        return
    page = browser.new_page(device_scale_factor=scale, color_scheme="light", viewport={"width": WIDE, "height": 900})
    page.goto(source.resolve().as_uri())
    shot(page, HERE / name)
    Image.open(HERE / name).convert("RGB").save(HERE / name, optimize=True)
    print(name, Image.open(HERE / name).size)


def draw_scene(path: Path) -> None:
    from experiments.pointing_game import SCENE as SETTINGS
    from experiments.pointing_game import objects
    from swinkit.data.scenes import Scenes, open_photographs

    scenes = Scenes(objects("test"), open_photographs("test"), SETTINGS, seed=78)
    Image.fromarray(scenes[SCENE].picture).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, metavar="WORK")
    parser.add_argument("--scene", type=Path, help="write the scene that is explained here, and draw nothing")
    parser.add_argument("--clothes", type=Path, help="write the picture that is painted anew here, and draw nothing")
    arguments = parser.parse_args()
    if arguments.scene:
        draw_scene(arguments.scene)
        return
    if arguments.clothes:
        Image.fromarray(open_bundled("fashion-mini").read(CLOTHES)[..., 0]).save(arguments.clothes)
        return
    work = arguments.work
    if (painted := work / "painted/reconstruction.png").is_file():
        shutil.copyfile(painted, HERE / "reconstruction.png")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        take(browser, work / "demo/digits/report.html", "report.png", 1, lambda page, path: top_of_page(page, 1100, 1250, path))
        take(browser, work / "why/explain.html", "explain.png", 1, lambda page, path: top_of_page(page, 1160, 1900, path))
        take(browser, work / "tour.en.html", "tour.png", 2, shifted_windows)
        take(browser, work / "tour.ru.html", "tour.ru.png", 2, shifted_windows)
        browser.close()


if __name__ == "__main__":
    main()
