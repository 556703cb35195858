"""Ways of asking why a class: for each its title, what its map shows, and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .cam import cam, traced_cam
from .gradients import integrated_gradients, smoothgrad
from .rollout import rollout
from .scores import Target
from .trust import MapOf


@dataclass(frozen=True)
class Method:
    """``maker`` gives the map for a target, by the seed of whatever is drawn for it; ``by_class`` is whether it is another map for each."""

    title: str
    caption: str
    maker: Callable[[Target, int], MapOf]
    by_class: bool = True


METHODS = {
    "cam": Method(
        "Class activation map, traced back",
        "What speaks for the class where the head reads the map, behind the last norm, followed back through every true window to "
        "the patches that it came from.",
        lambda target, _: lambda model, images: traced_cam(model, images, target.score),
    ),
    "cam-tokens": Method(
        "Class activation map of the last tokens",
        "Which tokens of the last map speak for the class; their mean is the score. Each has listened to its whole window before.",
        lambda target, _: lambda model, images: cam(model, images, target.score),
    ),
    "integrated-gradients": Method(
        "Integrated gradients",
        "What each pixel adds to the score on the way from the blurred picture to the picture.",
        lambda target, _: lambda model, images: integrated_gradients(model, images, target.score),
    ),
    "smoothgrad": Method(
        "SmoothGrad",
        "How strongly the score reacts to each pixel, for or against, averaged over noisy pictures.",
        lambda target, seed: lambda model, images: smoothgrad(model, images, target.score, seed=seed),
    ),
    "rollout": Method(
        "Attention rollout",
        "Where information can come from, through every window back to the patches. It knows of no class.",
        lambda _, __: lambda model, images: rollout(model, images),
        by_class=False,
    ),
}
