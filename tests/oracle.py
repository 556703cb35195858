"""Swin V1 and V2 by brute force, in float64 NumPy: what every other form of the model is judged by.

Written from the papers (arXiv 2103.14030 and 2111.09883) and the decisions of the design, not from ``swinkit.model``; of that it
shares the names of the weights alone. Each token lists the tokens it attends to: no roll, no mask, no reshaping into windows.
One picture at a time; a map is (H, W, C).
"""

from __future__ import annotations

import math

import numpy as np

Weights = dict[str, np.ndarray]


def forward(config, weights: Weights, picture: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Output of each stage, (H_i, W_i, C_i), and the logits of one picture (channels, H, W)."""
    maps, x = [], patch_embedding(config, inside(weights, "backbone.patch_embed."), picture)
    grid = tuple(math.ceil(side / config.patch_size) for side in config.image_size)
    for stage, depth in enumerate(config.depths):
        w = inside(weights, f"backbone.stages.{stage}.")
        if stage:
            x = patch_merging(config, inside(w, "merge."), x)
            grid = tuple(math.ceil(side / 2) for side in grid)
        window = config.window_size
        if config.geometry == "classification":
            window = tuple(min(side, reach) for side, reach in zip(window, grid, strict=True))
        for block in range(depth):
            extra = bool(config.extra_norm_every) and (block + 1) % config.extra_norm_every == 0
            x = transformer_block(config, inside(w, f"blocks.{block}."), x, stage, window, shifted=block % 2 == 1, extra=extra)
        maps.append(x)
    pooled = layer_norm(inside(weights, "norm."), x).mean(axis=(0, 1))
    return maps, linear(inside(weights, "head."), pooled)


def inside(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def linear(w: Weights, x: np.ndarray) -> np.ndarray:
    return x @ w["weight"].T + w.get("bias", 0.0)


def layer_norm(w: Weights, x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w["weight"] + w["bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def zero_padded(x: np.ndarray, unit: tuple[int, int]) -> np.ndarray:
    """The map (H, W, C) grown at the bottom and right until its sides divide by ``unit``."""
    height, width = (math.ceil(side / step) * step for side, step in zip(x.shape, unit, strict=False))
    grown = np.zeros((height, width, x.shape[2]))
    grown[: x.shape[0], : x.shape[1]] = x
    return grown


def patch_embedding(config, w: Weights, picture: np.ndarray) -> np.ndarray:
    """Section 3.1: each patch, flattened, times one matrix; then the norm; then the position embedding, if any."""
    patch = config.patch_size
    pixels = zero_padded(picture.transpose(1, 2, 0), (patch, patch))
    x = np.empty((pixels.shape[0] // patch, pixels.shape[1] // patch, config.embed_dim))
    for row, column in np.ndindex(x.shape[:2]):
        values = pixels[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        x[row, column] = np.einsum("ijc,ocij->o", values, w["proj.weight"]) + w["proj.bias"]
    x = layer_norm(inside(w, "norm."), x)
    return x + resize_bicubic(w["position"][0], x.shape[:2]) if config.ape else x


def resize_bicubic(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cubic convolution (a = -0.75), centres of the corner cells aligned with neither grid, edges repeated."""

    def kernel(t: float) -> float:
        t, a = abs(t), -0.75
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    for axis in (0, 1):
        source, target = x.shape[axis], size[axis]
        rows = []
        for index in range(target):
            position = (index + 0.5) * source / target - 0.5
            near = range(math.floor(position) - 1, math.floor(position) + 3)
            rows.append(sum(kernel(position - n) * np.take(x, min(max(n, 0), source - 1), axis) for n in near))
        x = np.stack(rows, axis)
    return x


def patch_merging(config, w: Weights, x: np.ndarray) -> np.ndarray:
    """Section 3.1: each 2 x 2 neighbours concatenated (down first, then right) and reduced from 4C to 2C."""
    x = zero_padded(x, (2, 2))
    merged = np.concatenate([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], axis=-1)
    norm, reduction = inside(w, "norm."), inside(w, "reduction.")
    if config.version == 1:
        return linear(reduction, layer_norm(norm, merged))
    return layer_norm(norm, linear(reduction, merged))


def transformer_block(config, w: Weights, x, stage: int, window, *, shifted: bool, extra: bool) -> np.ndarray:
    """V1, equation 3, with the norm before each layer; V2, figure 1, with the norm after it."""

    def attention(y: np.ndarray) -> np.ndarray:
        return window_attention(config, inside(w, "attention."), y, stage, window, shifted)

    def mlp(y: np.ndarray) -> np.ndarray:
        return linear(inside(w, "mlp.fc2."), gelu(linear(inside(w, "mlp.fc1."), y)))

    for layer, name in ((attention, "norm1."), (mlp, "norm2.")):
        norm = inside(w, name)
        x = x + (layer(layer_norm(norm, x)) if config.version == 1 else layer_norm(norm, layer(x)))
    return layer_norm(inside(w, "norm3."), x) if extra else x


def window_attention(config, w: Weights, x: np.ndarray, stage: int, window, shifted: bool) -> np.ndarray:
    """V1, equation 4; V2, equation 2. Padding tokens are zero, are attended to, and are dropped at the end."""
    height, width, channels = x.shape
    heads = config.num_heads[stage]
    tokens = zero_padded(x, window)
    q, k, v = (part.reshape(*tokens.shape[:2], heads, -1) for part in projections(w, tokens))
    if config.version == 1:
        q = q / math.sqrt(channels // heads)
    else:
        scale = np.exp(np.minimum(w["similarity.logit_scale"], math.log(100))).reshape(heads, 1)
        q, k = unit(q) * scale, unit(k)

    bias = position_bias(config, inside(w, "bias."), stage, window)
    rows, columns = (neighbours(tokens.shape[axis], window[axis], shifted, config.geometry == "dense") for axis in (0, 1))
    out = np.empty((height, width, channels))
    for row, column in np.ndindex(height, width):
        partners = [(r, c) for r in rows[row] for c in columns[column]]
        logits = np.array([(q[row, column] * k[p]).sum(-1) + bias[row - p[0], column - p[1]] for p in partners])
        share = np.exp(logits - logits.max(0))
        share /= share.sum(0)
        out[row, column] = sum(s[:, None] * v[p] for s, p in zip(share, partners, strict=True)).reshape(-1)
    return linear(inside(w, "proj."), out)


def projections(w: Weights, tokens: np.ndarray) -> list[np.ndarray]:
    """Queries, keys and values; in version 2 the keys have no bias."""
    bias = w.get("qkv.bias", 0.0)
    if "q_bias" in w:
        bias = np.concatenate([w["q_bias"], np.zeros_like(w["q_bias"]), w["v_bias"]])
    return np.split(tokens @ w["qkv.weight"].T + bias, 3, axis=-1)


def unit(x: np.ndarray) -> np.ndarray:
    """Vectors of length one along the last axis; a zero vector stays zero."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def neighbours(side: int, window: int, shifted: bool, always: bool) -> list[list[int]]:
    """For each place along one axis of the padded map, the places that share its window (section 3.2 and figure 2).

    Regular windows start at 0, shifted ones half a window further, which leaves a smaller window at either end.
    """
    start = window // 2 if shifted and (always or side > window) else 0
    return [[other for other in range(side) if (other - start) // window == (place - start) // window] for place in range(side)]


def position_bias(config, w: Weights, stage: int, window) -> dict[tuple[int, int], np.ndarray]:
    """Bias of each head for each offset (query minus key): from the table (V1), or log-CPB (V2, section 3.3)."""
    offsets = [(dy, dx) for dy in range(1 - window[0], window[0]) for dx in range(1 - window[1], window[1])]
    if config.version == 1:
        return dict(zip(offsets, w["table"], strict=True))
    pretrained = config.pretrained_window_sizes[stage] if config.pretrained_window_sizes else 0
    reach = ((pretrained, pretrained) if isinstance(pretrained, int) else pretrained) if pretrained else window
    return {offset: cpb(w, [log_spaced(d, r) for d, r in zip(offset, reach, strict=True)]) for offset in offsets}


def log_spaced(offset: int, reach: int) -> float:
    """V2, equation 4: sign(x) log(1 + |x|), of the offset in units of an eighth of the window, relative to log 8."""
    x = 8 * offset / (reach - 1) if reach > 1 else 8.0 * offset
    return math.copysign(math.log(1 + abs(x)) / math.log(8), x)


def cpb(w: Weights, coordinates: list[float]) -> np.ndarray:
    hidden = np.maximum(linear(inside(w, "mlp.0."), np.array(coordinates)), 0)
    return 16 / (1 + np.exp(-linear(inside(w, "mlp.2."), hidden)))
