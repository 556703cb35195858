"""A model with its preprocessing, asked about pictures of any kind: one answer per input, in the order of the inputs."""

from __future__ import annotations

import glob
import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..config import height_and_width
from ..data.ahead import made_ahead
from ..data.arrays import Undecodable
from ..data.decode import decode
from ..data.transforms import evaluation, takes
from ..devices import computes_bfloat16, one_thread_after_fork
from ..errors import DataError, UsageError
from ..memory import ran_out_of_memory
from ..model.classifier import SwinClassifier
from ..results import Classification, Failure
from ..tasks import decoder_of
from ..weights.attached import attached
from ..weights.saved import weights_digest
from .engines import Engine, available, build, check
from .engines.eager import ask
from .export.answering import load_any, place_of, refuse_embeddings
from .folding import departure
from .inputs import Input, expand

Picture: TypeAlias = str | Path | bytes | Image.Image | np.ndarray | Tensor
Answer: TypeAlias = Classification | Failure
Prepared: TypeAlias = tuple[str | None, Tensor] | Failure  # name and model input
Decode: TypeAlias = Callable[[Any, int], np.ndarray]

SHORT = "not enough memory"
# engines that may be asked for where the model answers by itself: the defaults, and what it does
BY_ITSELF = ("native", "auto", "eager")


class Predictor:
    """Classify pictures with a model: what :func:`swinkit.load` takes, or what it returns (which is set to evaluation); or with
    an exported bundle, whose graph answers on the CPU and gives no embeddings.

    ``image_size`` is the side, or (height, width), to which pictures are scaled instead of the model's own. ``device`` "auto"
    is a GPU where there is one; a model that is given as a module stays where it is. ``batch_size`` bounds how many pictures go
    through the model at once, 32 by default; without resizing, as many pixels as so many pictures of the model's size.

    On the CPU an ``engine`` of :mod:`swinkit.runtime.engines` computes, with the weights as they are at the first answer: "native" by
    default; "auto" measures which is fastest here, "eager" is the model itself. ``precision`` "float32" is exact, "bfloat16" rounds to
    three digits and is faster where the processor multiplies it; "auto" is bfloat16 there for the engines native and auto, and float32
    everywhere else. What hooks or adapters a model has, only "eager" hears, which takes the place of other engines there. The attribute
    ``precision`` is what was chosen. An exported bundle, and a model on another device, compute as they are: :class:`UsageError` is
    raised for one that is asked for another engine or for bfloat16.

    Call it with one picture: a path, the bytes of a file, a Pillow image, an array (H, W) or (H, W, C), a tensor (C, H, W), each
    uint8 or floating in 0..1; the answer is a :class:`Classification`, and :class:`DataError` is raised when it cannot be read.
    Call it with a list or iterator of them, a folder or a glob pattern: the answer is a list with one entry per input, a
    :class:`Failure` where there is none to give (``ok`` tells them apart).

    A deep copy, or a pickle for another process or machine, takes the model along and builds its engine where it answers.
    """

    def __init__(
        self, model: str | Path | nn.Module, image_size: int | tuple[int, int] | None = None, device: str = "auto",
        batch_size: int | None = None, engine: str = "native", precision: str = "auto",
    ) -> None:  # fmt: skip
        size = {} if image_size is None else {"size": height_and_width(image_size)}
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; expected how many pictures go through the model at once, 1 or more")
        network: Any = model if isinstance(model, nn.Module) else load_any(model, image_size)
        stays = isinstance(model, nn.Module) and str(device) == "auto"
        place = next(network.parameters()).device if stays else place_of(network, device)
        self.model = network.to(place).eval()
        self.device = place
        self._decoder = decoder_of(network)
        self.classes, self.multi_label = self._decoder.classes, self._decoder.multi_label
        look = attached(network).preprocessing
        if look is None:
            raise UsageError(
                "The model knows no preprocessing. Mend: model.preprocessing = swinkit.preprocessing.Preprocessing(size=...), or load it"
            )
        if size and look.resize == "none":
            raise UsageError(
                "The model's preprocessing scales no picture, so that image_size means nothing. Mend: leave it out"
            )
        self.preprocessing = look.model_copy(update=size)
        self.batch_size = batch_size or 32
        self._transform = evaluation(self.preprocessing)
        by_engine = place.type == "cpu" and isinstance(self.model, SwinClassifier)
        if precision == "auto":
            rounds = by_engine and engine in ("native", "auto") and computes_bfloat16(place) and not departure(self.model)
            precision = "bfloat16" if rounds else "float32"
        check(engine, precision)
        self.precision = available(engine, precision) if by_engine else precision
        if not by_engine:
            _refuse_options(engine, precision)
        self._by_engine, self._named = by_engine, engine
        self._built: Engine | None = None
        self._building = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_building"} | {"_built": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _building=threading.Lock())

    def _engine(self) -> Engine:
        """Built when the first pictures come; threads that ask first together share it."""
        with self._building:
            if self._built is None:
                shape = (self.batch_size, self.preprocessing.channels, *self.preprocessing.size)
                self._built = build(self.model, self.precision, shape, self._named)
            return self._built

    def __call__(self, inputs: Picture | Iterable[Picture], embeddings: bool = False) -> Classification | list[Answer]:
        if isinstance(inputs, str | Path) and _names_several(str(inputs)):
            return list(self.stream(expand([str(inputs)]), embeddings))
        inputs = _bytes_of(inputs)
        if _is_several(inputs):
            return list(self.stream(cast(Iterable[Picture], inputs), embeddings))
        (answer,) = self.stream([cast(Picture, inputs)], embeddings)
        if isinstance(answer, Failure):
            raise Undecodable(answer.reason, answer.source)
        return answer

    def stream(
        self, inputs: Iterable[Picture | Input], embeddings: bool = False, decode: Decode = decode, workers: int = 0
    ) -> Iterator[Answer]:
        """Answers in the order of ``inputs``, which are drawn as they are needed: memory does not grow with their number.

        ``workers`` threads call ``decode(path, channels)`` ahead of the model.
        """
        if embeddings:
            refuse_embeddings(self.model)
        budget = self.batch_size * self.preprocessing.channels * self.preprocessing.size[0] * self.preprocessing.size[1]
        waiting: list[Prepared] = []
        gathered = 0
        for item in self._prepared(inputs, decode, workers):
            waiting.append(item)
            gathered += 0 if isinstance(item, Failure) else item[1].numel()
            if gathered >= budget or len(waiting) >= 4 * self.batch_size:
                yield from self._answers(waiting, embeddings)
                waiting, gathered = [], 0
        yield from self._answers(waiting, embeddings)

    def fingerprint(self) -> str:
        """SHA-256 over everything that decides an answer: weights, classes, preprocessing, how outputs are read."""
        digest = hashlib.sha256()
        description = self.model.config, self.preprocessing, self._decoder, self.precision
        digest.update(repr(description).encode("utf-8", "backslashreplace"))
        digest.update(weights_digest(self.model.state_dict()).encode())
        return digest.hexdigest()

    def _prepared(self, inputs: Iterable[Any], decode: Decode, workers: int) -> Iterator[Prepared]:
        if not workers:
            yield from (self._prepare(item, decode) for item in inputs)
            return
        ahead = 2 * workers if self.preprocessing.resize == "none" else self.batch_size + workers
        yield from made_ahead(lambda item: self._prepare(item, decode), inputs, workers, ahead)

    def _prepare(self, item: Any, decode: Decode) -> Prepared:
        name, fault = item if isinstance(item, Input) else (str(item) if isinstance(item, str | Path) else None, None)
        if fault:
            return Failure(name, fault)
        try:
            source = _bytes_of(item) if name is None else Path(name)
            if isinstance(source, Tensor):
                source = _array(source, self.preprocessing.channels)
            return name, self._transform(decode(source, self.preprocessing.channels))
        except Undecodable as error:
            return Failure(name, error.reason)
        except (DataError, MemoryError, RuntimeError, OSError) as error:  # torch reports lack of memory as RuntimeError
            return Failure(name, SHORT if ran_out_of_memory(error) else str(error))

    def _answers(self, waiting: list[Prepared], embeddings: bool) -> list[Answer]:
        same_size: defaultdict[torch.Size, list[int]] = defaultdict(list)
        answers: list[Any] = list(waiting)
        for place, item in enumerate(waiting):
            if not isinstance(item, Failure):
                same_size[item[1].shape].append(place)
        for places in same_size.values():
            names, pictures = zip(*(answers[place] for place in places), strict=True)
            for place, answer in zip(places, self._answer_batch(names, pictures, embeddings), strict=True):
                answers[place] = answer
        return answers

    def _compute(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and pooled embeddings, both float32."""
        if self._by_engine:
            return self._engine().answers(pictures)
        one_thread_after_fork()
        logits, pooled = ask(self.model, pictures.to(self.device))
        return logits.float(), pooled.float()

    @torch.inference_mode()
    def _answer_batch(self, names: Sequence[str | None], pictures: Sequence[Tensor], embeddings: bool) -> Sequence[Answer]:
        """Of pictures of one size; for those that are too many for the memory, of each by itself."""
        # a lack of memory while an engine is built is no picture's fault
        if self._by_engine:
            self._engine()
        try:
            outputs, pooled = self._compute(torch.stack(list(pictures)))
        except Exception as fault:
            if not ran_out_of_memory(fault):
                raise
        else:
            return self._decoder(outputs, names, pooled.tolist() if embeddings else None)
        # here what the fault held is free again
        if len(names) == 1:
            return [Failure(names[0], SHORT)]
        alone = zip(names, pictures, strict=True)
        return [answer for name, picture in alone for answer in self._answer_batch([name], [picture], embeddings)]


def _refuse_options(engine: str, precision: str) -> None:
    """Raise :class:`UsageError` for what is asked of an engine where the model answers by itself."""
    for option, value, own in (("precision", precision, ("float32",)), ("engine", engine, BY_ITSELF)):
        if value not in own:
            raise UsageError(
                f"{option} {value} is for models of swinkit on the CPU; an exported graph, another network and one on another device compute "
                "as they are. Mend: leave it out"
            )


def _array(picture: Tensor, channels: int) -> np.ndarray:
    """(C, H, W) or (H, W) as (H, W, C) or (H, W)."""
    shape = tuple(picture.shape)
    if picture.is_meta:
        raise Undecodable("tensor on the meta device, which holds no pixels")
    if picture.layout != torch.strided or picture.is_quantized:
        raise Undecodable(
            f"no plain tensor ({picture.layout}, {picture.dtype}). Mend: tensor.to_dense() or tensor.dequantize()"
        )
    if len(shape) == 3 and takes(channels, shape[-1]) and not takes(channels, shape[0]):
        raise Undecodable(f"tensor of shape {shape}; a tensor is (C, H, W). Mend: tensor.permute(2, 0, 1)")
    values = picture.detach().cpu()
    # NumPy has no bfloat16
    values = values.float() if values.is_floating_point() else values
    return values.movedim(0, -1).numpy() if values.ndim == 3 else values.numpy()


def _names_several(text: str) -> bool:
    return os.path.isdir(text) or (glob.has_magic(text) and not os.path.lexists(text))


def _bytes_of(picture: Any) -> Any:
    """What a file object or a buffer of bytes holds; anything else as it is."""
    if isinstance(picture, bytearray | memoryview):
        return bytes(picture)
    if not hasattr(picture, "read"):
        return picture
    content = picture.read()
    if not isinstance(content, bytes):
        raise UsageError("The file of a picture gave text. Mend: open it with mode 'rb'")
    return content


def _is_several(inputs: Any) -> bool:
    if isinstance(inputs, np.ndarray | Tensor):
        return inputs.ndim == 4
    if isinstance(inputs, str | Path | bytes | Image.Image):
        return False
    if not isinstance(inputs, Iterable):
        raise UsageError(f"Expected a picture, a file's name or bytes, or several of them, got {type(inputs).__name__}")
    return True
