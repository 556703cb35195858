"""The pointing game (Zhang et al., arXiv 1608.00507): does the map for a class peak inside the object of that class?

    python -m experiments.pointing_game --save /tmp/pointing            # trains both versions, then plays
    python -m experiments.pointing_game --load /tmp/pointing            # plays with the models that were saved

Scenes hold two pictures of Fashion-MNIST of different classes on a photograph. Training draws objects from the training part and
grounds from six photographs; the game is played with objects of the test part on four other photographs. The models learn which
classes are there (one sigmoid each) and never where: first from crops with one object, then from whole scenes.

A method scores a hit where the highest pixel of its map lies in the object's box. Chance is what the same peaks hit in the boxes
of another scene, so a map that prefers the middle gains nothing by it. A map that sees objects and no classes hits the other object
of the same scene as often as its own. Results: experiments/results/pointing_game.json
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import swinkit
from swinkit.data.bundled import open_bundled
from swinkit.data.collection import Collection
from swinkit.data.scenes import Scene, Scenes, SceneSettings, open_photographs
from swinkit.data.transforms import evaluation
from swinkit.explain.blank import blurred
from swinkit.explain.cam import cam, traced_cam
from swinkit.explain.gradients import integrated_gradients, smoothgrad
from swinkit.explain.rollout import rollout
from swinkit.explain.scores import class_target
from swinkit.explain.seeing import backbone_of
from swinkit.explain.trust import forgetful
from swinkit.kernels.accelerate import accelerate
from swinkit.tasks import described
from swinkit.tasks.metrics import bootstrap
from swinkit.train.optim import build_optimizers, set_learning_rate
from swinkit.train.settings import TrainSettings

RESULTS = Path(__file__).parent / "results" / "pointing_game.json"
CLASSES = ("Trouser", "Pullover", "Sandal", "Bag", "Ankle boot")
SIDE, CROP = 56, 28
SCENE = SceneSettings(side=SIDE, objects=(2, 2), object_sides=(20, 26))
PHASES = (  # scenes, batch, steps
    (SceneSettings(side=CROP, objects=(1, 1), object_sides=(19, 27)), 64, 1000),
    (replace(SCENE, objects=(0, 2)), 32, 400),
)
RATE = 0.004
MODELS = {1: "swin_nano", 2: "swinv2_nano"}
PREPROCESSING = swinkit.Preprocessing(size=(SIDE, SIDE), resize="none")
Maps = Callable[[nn.Module, Tensor, int], Tensor]  # model, images, class -> (B, H, W)


def objects(part: str) -> Collection:
    """Fashion-MNIST's pictures of :data:`CLASSES`, of its "train" or "test" part."""
    fashion = open_bundled("fashion")
    wanted = {fashion.classes.index(name): new for new, name in enumerate(CLASSES)}
    split = "test" if part == "test" else "train"
    places = [i for i, s in enumerate(fashion.samples) if s.labels[0] in wanted and (s.split == "test") == (split == "test")]
    samples = tuple(replace(fashion.samples[i], labels=(wanted[fashion.samples[i].labels[0]],)) for i in places)
    return replace(fashion, classes=CLASSES, samples=samples, pixels=fashion.pixels[places])


def batch_of(scenes: Scenes, indices: range) -> tuple[Tensor, Tensor, list[Scene]]:
    """Pictures (B, 3, H, W) as the model takes them, which classes they hold (B, classes), and the scenes."""
    made = [scenes[index] for index in indices]
    present = torch.zeros(len(made), len(CLASSES))
    for row, scene in zip(present, made, strict=True):
        row[scene.labels] = 1
    return evaluation(PREPROCESSING).batch(np.stack([scene.picture for scene in made])), present, made


def trained(version: int, seed: int, scale: float) -> nn.Module:
    torch.manual_seed(seed)
    model = accelerate(swinkit.create_model(MODELS[version], num_classes=len(CLASSES), image_size=CROP))
    pool, grounds = objects("train"), open_photographs("train")
    for phase, (settings, size, steps) in enumerate(PHASES):
        steps = max(2, round(steps * scale))
        scenes = Scenes(pool, grounds, settings, seed=1000 * seed + phase)
        optimizers = build_optimizers(model, TrainSettings(optimizer="muon", lr=RATE))
        for step in range(steps):
            for optimizer in optimizers:
                set_learning_rate(
                    optimizer, RATE / (1 + phase) * min(1, (step + 1) / 25) * (1 + math.cos(math.pi * step / steps)) / 2
                )
            images, present, _ = batch_of(scenes, range(step * size, (step + 1) * size))
            loss = nn.functional.binary_cross_entropy_with_logits(model(images), present)
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5)
            for optimizer in optimizers:
                optimizer.step()
            if step % 20 == 0:
                print(f"{MODELS[version]} phase {phase + 1} step {step}/{steps} loss {loss.item():.3f}", flush=True)
    plain = swinkit.create_model(MODELS[version], num_classes=len(CLASSES), image_size=CROP)
    plain.load_state_dict(model.state_dict())  # the usual recipe hooks a norm, which the kernels compute with what follows it
    return described(plain, CLASSES, PREPROCESSING, multi_label=True).eval()


def usual_recipe(model: nn.Module, images: Tensor, index: int) -> Tensor:
    """Grad-CAM as pytorch-grad-cam's page on vision transformers sets it up for Swin: at ``norm1`` of the last block, weights
    averaged over the map (Selvaraju et al., arXiv 1610.02391), the map stretched to the picture."""
    kept: list[Tensor] = []

    def hook(_: nn.Module, __: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = backbone_of(model).stages[-1].blocks[-1].norm1.register_forward_hook(hook)
    model(images)[:, index].sum().backward()
    handle.remove()
    activation, gradient = kept[0].detach(), kept[0].grad
    model.zero_grad()
    maps = (activation * gradient.mean(dim=(1, 2), keepdim=True)).sum(-1).relu()
    return nn.functional.interpolate(maps[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def scored(method: Callable[..., Tensor]) -> Maps:
    return lambda model, images, index: method(model, images, class_target(model, index).score)


METHODS: dict[str, Maps] = {
    "cam": scored(traced_cam),
    "cam of the last tokens": scored(cam),
    "cam of stage 2": scored(partial(cam, stage=1)),
    "integrated gradients": scored(integrated_gradients),
    "integrated gradients, blurred": lambda *asked: blurred(scored(integrated_gradients)(*asked), 4, shared_out=True),
    "smoothgrad": scored(smoothgrad),
    "rollout (knows no class)": lambda model, images, index: rollout(model, images),
    "usual recipe (norm1)": usual_recipe,
}


def play(model: nn.Module, method: Maps, scenes: Scenes, count: int) -> dict[str, object]:
    """Hits of ``method`` over the objects of ``count`` scenes, with chance, and a 95 % interval over scenes."""
    hits, on_other, by_chance, in_mask = (np.full((count, 2), np.nan) for _ in range(4))
    for start in range(0, count, 20):
        images, _, made = batch_of(scenes, range(start, min(count, start + 20)))
        for index in range(len(CLASSES)):
            rows = [row for row, scene in enumerate(made) if index in scene.labels and len(scene.labels) == 2]
            if not rows:
                continue
            maps = method(model, images[rows], index).detach()
            for row, peak in zip(rows, maps.flatten(1).argmax(1).tolist(), strict=True):
                which = list(made[row].labels).index(index)
                y, x = divmod(peak, SIDE)
                on_other[start + row, which] = inside(made[row].boxes[1 - which], x, y)
                other = made[(row + 1) % len(made)]
                hits[start + row, which] = inside(made[row].boxes[which], x, y)
                by_chance[start + row, which] = np.mean([inside(box, x, y) for box in other.boxes])
                in_mask[start + row, which] = made[row].masks[which, y, x]
    whole = ~np.isnan(hits).any(1)  # a few scenes had no room for a second object
    means = {"hits": hits, "other object": on_other, "chance": by_chance, "in mask": in_mask}
    told = {name: float(values[whole].mean()) for name, values in means.items()}
    by_scene = hits[whole].mean(1)
    interval = bootstrap(lambda drawn: float(by_scene[drawn].mean()), len(by_scene), draws=2000)
    return {"cases": 2 * int(whole.sum()), "interval": [interval.low, interval.high], **told}


def inside(box: np.ndarray, x: int, y: int) -> bool:
    return bool(box[0] <= x < box[2] and box[1] <= y < box[3])


def accuracy(model: nn.Module, scenes: Scenes, count: int) -> dict[str, float]:
    """How well the model knows which classes are there: mean over classes of right answers, and scenes wholly right."""
    images, present, _ = batch_of(scenes, range(count))
    with torch.no_grad():
        right = (torch.cat([model(part) for part in images.split(50)]) > 0) == present.bool()
    return {"per class": float(right.float().mean()), "whole scenes": float(right.all(1).float().mean())}


def judge(model: nn.Module, count: int, shuffles: int, seed: int) -> dict[str, object]:
    scenes = Scenes(objects("test"), open_photographs("test"), SCENE, seed=78)
    methods = {}
    for name, method in METHODS.items():
        torch.manual_seed(seed)
        methods[name] = play(model, method, scenes, count)
        print(
            f"  {name:<26} {methods[name]['hits']:.1%} of {methods[name]['cases']}, the other object {methods[name]['other object']:.1%}, chance {methods[name]['chance']:.1%}",
            flush=True,
        )
    *_, whole = forgetful(model, torch.Generator().manual_seed(seed), shuffles).values()
    forgotten = [play(other, METHODS["cam"], scenes, max(20, count // 5)) for other in whole]
    randomised = {key: [found[key] for found in forgotten] for key in ("hits", "other object", "chance")}
    print(
        f"  cam, weights randomised    {np.mean(randomised['hits']):.1%}, the other object {np.mean(randomised['other object']):.1%}, chance {np.mean(randomised['chance']):.1%}",
        flush=True,
    )
    return {"accuracy": accuracy(model, scenes, count), "methods": methods, "cam, weights randomised": randomised}


def ready(version: int, name: str, arguments: argparse.Namespace) -> tuple[nn.Module, float]:
    """The model of ``version``, loaded or trained, and how many seconds of one thread its training took."""
    if arguments.load:
        return swinkit.load(arguments.load / name), json.loads((arguments.load / name / "seconds.json").read_text("utf-8"))
    began = time.process_time()
    model = trained(version, arguments.seed, arguments.scale)
    seconds = time.process_time() - began
    if arguments.save:
        swinkit.save(model, arguments.save / name)
        (arguments.save / name / "seconds.json").write_text(json.dumps(seconds), encoding="utf-8")
    return model, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=200, help="scenes of the test part, two cases each")
    parser.add_argument("--shuffles", type=int, default=10, help="randomised models")
    parser.add_argument("--save", type=Path, help="folder for the trained models")
    parser.add_argument("--load", type=Path, help="folder of models saved before")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps of training")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--versions", type=int, nargs="+", choices=MODELS, default=list(MODELS), help="1, 2 or both")
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # what cannot be made is said before the training
    found: dict[str, object] = {
        "seed": arguments.seed,
        "classes": CLASSES,
        "side": SIDE,
        "torch": torch.__version__,
        "models": {},
    }
    for version in arguments.versions:
        name = MODELS[version]
        model, seconds = ready(version, name, arguments)
        print(f"{name}: learned in {seconds:.0f} s of one thread", flush=True)
        found["models"][name] = {
            "training_seconds": seconds,
            **judge(model, arguments.scenes, arguments.shuffles, arguments.seed),
        }  # type: ignore[index]
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
