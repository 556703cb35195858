import copy
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import swinkit
from swinkit.data.decode import decode
from swinkit.data.transforms import visible
from swinkit.devices import find_device
from swinkit.errors import DataError, UsageError
from swinkit.preprocessing import Preprocessing
from swinkit.results import Classification, Failure
from swinkit.runtime.engines import candidates
from swinkit.runtime.folding import departure
from swinkit.runtime.inputs import Input
from swinkit.runtime.predictor import Predictor

from .pictures import SIDE, fill, picture


def scores(answer):
    return pytest.approx(answer.probabilities, abs=1e-5)


def test_an_answer_is_the_models_softmax(predictor):
    answer = predictor(picture(1))
    images = torch.from_numpy(np.asarray(picture(1)).transpose(2, 0, 1)[None] / np.float32(255))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (predictor.preprocessing.mean, predictor.preprocessing.std))
    with torch.inference_mode():
        expected = predictor.model((images - mean) / std).softmax(1)[0]
    assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer.label == predictor.classes[int(expected.argmax())]
    assert answer.source is None
    assert answer.embedding is None


def test_one_picture_in_every_form_has_one_answer(predictor, tmp_path):
    image = picture(4)
    path = tmp_path / "picture.png"
    image.save(path)
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    expected = predictor(image)
    for form in (
        path,
        str(path),
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        io.BytesIO(path.read_bytes()),
        array,
        array / np.float32(255),
        tensor,
        tensor / 255,
        array.astype(np.uint16) * 257,
    ):
        assert scores(expected) == predictor(form).probabilities
    assert predictor((tensor / 255).bfloat16()).probabilities == pytest.approx(expected.probabilities, abs=0.05)
    gray = np.asarray(image.convert("L"))
    assert scores(predictor(gray)) == predictor(torch.from_numpy(gray.copy())).probabilities
    assert predictor(path).source == str(path)


def test_several_inputs_are_answered_in_their_order(predictor, tmp_path):
    images = [picture(number) for number in range(12)]
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number:02}.png")
    alone = [predictor(image) for image in images]
    assert len({answer.label for answer in alone}) > 2
    arrays = np.stack(images)
    for several in (arrays, list(arrays), iter(images), str(tmp_path), f"{tmp_path}/*.png", tmp_path):
        for together, one in zip(predictor(several), alone, strict=True):
            assert scores(one) == together.probabilities


@pytest.mark.parametrize("workers", [0, 3])
def test_a_broken_input_stands_at_its_place(predictor, tmp_path, workers):
    good, broken = fill(tmp_path, good=10, broken=21)
    names = sorted([*good, *broken])
    items = [Input(str(tmp_path / name)) for name in names]
    found = list(predictor.stream(items, workers=workers))
    for name, answer in zip(names, found, strict=True):
        if name in good:
            assert scores(predictor(tmp_path / name)) == answer.probabilities
        else:
            assert isinstance(answer, Failure)
            assert answer.reason
        assert answer.source == str(tmp_path / name)


def test_one_broken_input_raises_and_among_several_does_not(predictor, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        predictor(path)
    bad, good = predictor([path, picture(0)])
    assert not bad.ok
    assert good.ok


@pytest.mark.parametrize(
    "odd", [np.zeros((4, 4), np.int64), np.zeros(5), np.zeros((3, 4, 4, 1, 1)), np.full((4, 4, 3), 255.0), np.zeros((0, 4, 3))]
)
def test_arrays_that_are_no_picture_are_refused(predictor, odd):
    with pytest.raises(DataError):
        predictor(odd)


def test_inputs_are_drawn_as_they_are_needed(predictor):
    drawn = 0

    def endless():
        nonlocal drawn
        while True:
            drawn += 1
            yield Input("missing.png", "gone") if drawn % 3 else picture(drawn)

    for workers in (0, 2):
        drawn = 0
        answers = predictor.stream(endless(), workers=workers)
        for _ in range(10):
            next(answers)
        answers.close()
        assert drawn < 100


PATIENCE = 60  # seconds that one thread waits for another, of which a sound one needs none


def files(folder, count):
    """``count`` pictures as inputs, called by their number."""
    for number in range(count):
        picture(number).save(folder / f"{number:02}.png")
    return [Input(str(folder / f"{number:02}.png")) for number in range(count)]


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_are_filled_across_files_and_what_is_broken_takes_no_place(predictor, tmp_path, workers, monkeypatch):
    good, broken = fill(tmp_path, good=20, broken=7)
    compute, sizes = predictor._compute, []
    monkeypatch.setattr(predictor, "_compute", lambda pictures: sizes.append(len(pictures)) or compute(pictures))
    assert (
        len(list(predictor.stream([Input(str(tmp_path / name)) for name in sorted([*good, *broken])], workers=workers))) == 27
    )
    assert sizes == [8, 8, 4]


@pytest.mark.parametrize("resizing", [False, True])
def test_workers_decode_and_resize_side_by_side(predictor, tmp_path, resizing, monkeypatch):
    together, resize = threading.Barrier(3), predictor._transform

    def met(work):
        def wait_for_the_others(*given):
            together.wait(PATIENCE)
            return work(*given)

        return wait_for_the_others

    if resizing:
        monkeypatch.setattr(predictor, "_transform", met(resize))
    answers = predictor.stream(files(tmp_path, 12), decode=decode if resizing else met(decode), workers=3)
    assert all(answer.ok for answer in answers)


def test_while_the_model_computes_the_next_pictures_are_decoded(predictor, tmp_path, monkeypatch):
    computing, decoded, compute = threading.Event(), threading.Event(), predictor._compute

    def decode_meanwhile(path, channels):
        if Path(path).stem == "09":  # of the second batch of eight
            assert computing.wait(PATIENCE)
            decoded.set()
        return decode(path, channels)

    def compute_meanwhile(pictures):
        computing.set()
        assert decoded.wait(PATIENCE)
        return compute(pictures)

    monkeypatch.setattr(predictor, "_compute", compute_meanwhile)
    answers = predictor.stream(files(tmp_path, 12), decode=decode_meanwhile, workers=2)
    assert all(answer.ok for answer in answers)


def test_what_is_no_picture_costs_its_own_answer_only_and_is_told_as_what_it_is(predictor):
    good = np.asarray(picture(1))
    odd = {
        **dict(zip(("got NoneType", "got int", "got list"), (None, 3, [good, good]), strict=True)),
        "tensor.to_dense()": torch.from_numpy(good.transpose(2, 0, 1).copy()).to_sparse(),
        "tensor.permute(2, 0, 1)": torch.from_numpy(good.copy()),
        "a tensor is (C, H, W)": torch.from_numpy(good[..., :1].copy()),
        "meta device": torch.zeros(3, 40, 40, device="meta"),
    }
    first, *answers, last = predictor([good, *odd.values(), good])
    assert first == last == predictor(good)
    for reason, answer in zip(odd, answers, strict=True):
        assert reason in answer.reason
        assert "damaged" not in answer.reason
    assert predictor(torch.zeros(3, 40, 3)).ok


def test_embeddings_are_the_pooled_features(predictor):
    (answer,) = predictor([picture(2)], embeddings=True)
    with torch.inference_mode():
        logits = predictor.model.head(torch.tensor(answer.embedding))
    assert logits.softmax(0).tolist() == pytest.approx(answer.probabilities, abs=1e-5)


def variant(predictor, **changes):
    """A copy of the predictor's model with other attributes, as a module."""
    model = swinkit.create_model(
        "swin_nano", **{k: v for k, v in predictor.model.config.model_dump().items() if k not in ("version", "patch_size")}
    )
    model.load_state_dict(predictor.model.state_dict())
    for name in ("classes", "preprocessing", "multi_label", "metadata"):
        setattr(model, name, changes.get(name, getattr(predictor.model, name)))
    return model


def test_a_stored_temperature_is_applied(predictor):
    soft = Predictor(variant(predictor, metadata={"temperature": 2.5}), precision="float32")
    logits = np.log(predictor(picture(3)).probabilities)
    expected = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum()
    assert soft(picture(3)).probabilities == pytest.approx(expected.tolist(), abs=1e-4)
    assert soft.fingerprint() != predictor.fingerprint()


def test_several_labels_are_independent_sigmoids(predictor):
    several = Predictor(variant(predictor, multi_label=True))
    answer, embedded = several(picture(3)), several([picture(3)], embeddings=True)[0]
    with torch.inference_mode():
        expected = several.model.head(torch.tensor(embedded.embedding)).sigmoid()
    assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    assert set(answer.labels) == {
        name for name, score in zip(answer.classes, answer.probabilities, strict=True) if score >= 0.5
    }


def test_pictures_of_their_own_size_are_answered_as_alone(predictor):
    native = Predictor(variant(predictor, preprocessing=Preprocessing(size=(SIDE, SIDE), resize="none")), batch_size=4)
    pictures = [picture(number, side) for number, side in enumerate([16, 40, 16, 24, 40, 24, 16, 130, 16])]
    for together, image in zip(native(pictures), pictures, strict=True):
        assert scores(native(image)) == together.probabilities


def test_another_size_is_used_and_is_another_fingerprint(model_folder, predictor):
    large = Predictor(model_folder, image_size=32, precision="float32")
    assert large.preprocessing.size == (32, 32)
    assert large.fingerprint() != predictor.fingerprint()
    assert large(picture(1)).probabilities != scores(predictor(picture(1)))


def test_an_answer_that_is_not_finite_is_no_answer(predictor):
    model = variant(predictor)
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    (answer,) = Predictor(model)([picture(0)])
    assert "not finite" in answer.reason


def test_fault_17_a_strip_is_not_scaled_into_a_bomb(predictor, monkeypatch):
    model = variant(predictor, preprocessing=Preprocessing(size=(224, 224)))
    with pytest.raises(DataError, match="cut it into tiles"):
        Predictor(model)(np.zeros((1, 1_000_000), np.uint8))


def test_the_same_weights_have_the_same_fingerprint(model_folder, predictor):
    assert Predictor(str(model_folder), precision="float32").fingerprint() == predictor.fingerprint()


def test_what_is_missing_is_said(predictor):
    with pytest.raises(UsageError, match="classes"):
        Predictor(swinkit.create_model("swin_nano", num_classes=2))
    network = swinkit.create_model("swin_nano", num_classes=2)
    network.classes, network.preprocessing = ("cat",), Preprocessing(size=(28, 28))
    with pytest.raises(UsageError, match="2 outputs and knows 1 classes"):
        Predictor(network)
    for odd in (3, None):
        with pytest.raises(UsageError, match=f"Expected a picture.* got {type(odd).__name__}"):
            predictor(odd)
    with pytest.raises(UsageError, match="mode 'rb'"):
        predictor(io.StringIO("no picture"))
    with pytest.raises(UsageError, match="no device"):
        find_device("cuda:0" if not torch.cuda.is_available() else "mps")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:", "cpu:0", "gpu"])
def test_a_device_of_another_number_is_refused_by_name(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match=r"no device.*cuda:0 to cuda:1"):
        find_device(name)


def test_a_size_and_a_batch_that_are_none_are_told_in_words(model_folder, predictor):
    for model in (model_folder, predictor.model):
        for size in (0, (8, -1), 2.5, (8,)):
            with pytest.raises(UsageError, match=r"image_size is .*; expected a side in pixels, as 224, or"):
                Predictor(model, image_size=size)
        for count in (0, -1):
            with pytest.raises(UsageError, match=rf"batch_size is {count}; expected how many pictures"):
                Predictor(model, batch_size=count)
    unscaled = copy.deepcopy(predictor.model)
    unscaled.preprocessing = unscaled.preprocessing.model_copy(update={"resize": "none"})
    with pytest.raises(UsageError, match="scales no picture"):
        Predictor(unscaled, image_size=20)
    with pytest.raises(UsageError, match=r"image_size is \(0, 8\); expected"):
        swinkit.load(model_folder, image_size=(0, 8))


def test_fault_18_an_upright_answer_for_a_turned_file(predictor):
    image = picture(6)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(turned, "PNG", exif=exif)
    assert decode(turned.getvalue()).tolist() == np.asarray(image).tolist()
    assert scores(predictor(image)) == predictor(turned.getvalue()).probabilities


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_fault_18_every_mode_is_answered_as_its_decoded_pixels(predictor, mode):
    gray = np.asarray(picture(8).convert("L")).astype(np.uint16)
    image = Image.fromarray(gray * 257) if mode == "I;16" else picture(8).convert(mode)
    content = io.BytesIO()
    image.save(content, "TIFF")
    assert scores(predictor(decode(content.getvalue()))) == predictor(content.getvalue()).probabilities


def test_results_turn_into_plain_data():
    answer = Classification(("a", "b"), (0.25, 0.75), "x.png")
    assert json.loads(answer.to_json())["top"][0] == {"label": "b", "score": 0.75}
    assert Failure("x.png", "gone").to_dict() == {"source": "x.png", "reason": "gone"}
    assert str(Failure("x.png", "gone")) == "x.png: gone"


@pytest.mark.parametrize("engine", [name for name in candidates(thorough=True) if name not in ("eager", "compiled")])
def test_every_engine_gives_the_same_answer(model_folder, engine):
    """All but the one that takes a minute to build, against the model itself."""
    pictures = [picture(index) for index in range(3)]
    answers = [swinkit.Predictor(model_folder, engine=name, precision="float32")(pictures) for name in ("eager", engine)]
    for one, other in zip(*answers, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize(
    ("there", "options", "chosen"),
    [
        (True, {}, "bfloat16"),
        (False, {}, "float32"),
        (True, {"engine": "eager"}, "float32"),
        (True, {"precision": "float32"}, "float32"),
        (True, {"precision": "bfloat16", "engine": "eager"}, "bfloat16"),
        (True, {"precision": "bfloat16", "engine": "onnxruntime"}, "float32"),
        (False, {"precision": "bfloat16"}, "float32"),
    ],
)
def test_precision_is_chosen_by_the_processor_unless_it_is_given(there, options, chosen, model_folder, monkeypatch):
    monkeypatch.setattr("swinkit.runtime.predictor.computes_bfloat16", lambda device: there)
    monkeypatch.setattr("swinkit.runtime.engines.computes_bfloat16", lambda device: there)
    assert swinkit.Predictor(model_folder, **options).precision == chosen


def test_precision_rounds_and_is_part_of_what_decides_an_answer(model_folder, predictor, monkeypatch):
    monkeypatch.setattr("swinkit.runtime.engines.computes_bfloat16", lambda device: True)
    rounded = swinkit.Predictor(model_folder, precision="bfloat16")
    assert rounded(picture(0)).probabilities == pytest.approx(predictor(picture(0)).probabilities, abs=0.05)
    assert rounded.fingerprint() != predictor.fingerprint()


def test_an_unknown_engine_is_told_at_once(model_folder):
    with pytest.raises(UsageError, match="no engine 'fast'"):
        swinkit.Predictor(model_folder, engine="fast")


def test_a_device_may_be_torchs_own_word_for_it(predictor):
    assert Predictor(predictor.model, device=torch.device("cpu")).device == torch.device("cpu")


def test_a_model_without_its_last_norm_is_answered_by_itself(predictor):
    bare = copy.deepcopy(predictor.model)
    bare.norm = torch.nn.Identity()
    images = torch.zeros(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        expected = bare(images).softmax(dim=-1)[0]
    answer = Predictor(bare)(visible(images, bare.preprocessing)[0])
    assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-4)


def test_stochastic_depth_means_nothing_in_an_answer(predictor):
    deep = copy.deepcopy(predictor.model)
    deep.backbone.stages[0].blocks[0].drop_path.rate = 0.3
    assert departure(deep) is None
