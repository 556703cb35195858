import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim.swa_utils import AveragedModel

import swinkit
from swinkit.config import SwinConfig
from swinkit.errors import SwinkitError, UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.weights import RUN, files
from swinkit.weights.files import DESCRIPTION, WEIGHTS, read_model, save_model, serialise
from swinkit.weights.publishing import save_pretrained
from swinkit.weights.verify import differences, refuse, signatures

TINY = SwinConfig(
    image_size=16, patch_size=2, in_channels=1, num_classes=3, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4
)
CLASSES = ("a", "b", "зонт")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SwinClassifier(TINY)


@pytest.fixture
def folder(model, tmp_path):
    return save_model(model, tmp_path / "model", classes=CLASSES, extra={"metrics": {"top1": 0.5}, "temperature": 1.25})


def damage(folder, change):
    """Change the tensors and make the manifest agree, so that only the comparison with the configuration can object."""
    state = load_file(folder / WEIGHTS)
    change(state)
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    content = (folder / WEIGHTS).read_bytes()
    described["weights"] = {"bytes": len(content), "sha256": files.hashlib.sha256(content).hexdigest()}
    (folder / DESCRIPTION).write_text(json.dumps(described))


def test_round_trip_keeps_every_bit_and_the_description(model, folder):
    found = read_model(folder)
    assert found.config == TINY
    assert found.classes == CLASSES
    assert found.task == "classification"
    assert not found.multi_label
    assert found.preprocessing == Preprocessing(size=(16, 16), channels=1, mean=(0.5,), std=(0.5,))
    assert found.metadata["metrics"] == {"top1": 0.5}
    assert found.metadata["temperature"] == 1.25
    other = SwinClassifier(TINY)
    other.load_state_dict(found.state)
    assert all(torch.equal(one, two) for one, two in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_run_folder_model_folder_and_files_in_it_name_the_same_model(folder):
    paths = [folder.parent, folder, folder / WEIGHTS, folder / DESCRIPTION]
    assert len({read_model(path).sha256 for path in paths}) == 1


def test_equal_weights_give_equal_bytes_in_any_memory_layout(model):
    state = model.state_dict()
    scattered = {name: tensor.clone().t().contiguous().t() if tensor.ndim == 2 else tensor for name, tensor in state.items()}
    assert serialise(state) == serialise(scattered)


def test_tensors_that_share_memory_are_written_apart():
    base = torch.arange(6.0)
    content = serialise({"all": base, "again": base, "part": base[2:4]})
    assert torch.equal(files.load(content)["part"], torch.tensor([2.0, 3.0]))


def test_classes_and_preprocessing_of_a_loaded_model_go_along(model, tmp_path):
    model.classes, model.preprocessing = CLASSES, Preprocessing(size=(8, 8), channels=1, mean=(0.1,), std=(0.2,))
    found = read_model(save_model(model, tmp_path / "m"))
    assert (found.classes, found.preprocessing) == (CLASSES, model.preprocessing)


def test_wrong_number_of_classes_and_foreign_modules_are_refused(model, tmp_path):
    with pytest.raises(UsageError, match="3 outputs, but 2 classes"):
        save_model(model, tmp_path, classes=("a", "b"))
    with pytest.raises(UsageError, match="carries its configuration, got Linear"):
        save_model(torch.nn.Linear(1, 1), tmp_path)


def test_one_flipped_bit_is_refused_anywhere_in_the_file(folder):
    whole = (folder / WEIGHTS).read_bytes()
    for position in (3, 100, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[position] ^= 4
        (folder / WEIGHTS).write_bytes(flipped)
        with pytest.raises(WeightsError, match="damaged: expected SHA-256"):
            read_model(folder)


@pytest.mark.parametrize("length", [0, 7, 1000])
def test_truncated_weights_are_refused_by_size(folder, length):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])
    with pytest.raises(WeightsError, match=f"has {length:,} bytes, expected"):
        read_model(folder)


def test_every_key_that_does_not_match_is_listed_at_once(folder):
    def change(state):
        state["head.extra"] = torch.zeros(2)
        del state["norm.weight"]
        state["head.weight"] = torch.zeros(5, 16)
        state["norm.bias"] = torch.zeros(16, dtype=torch.int64)

    damage(folder, change)
    with pytest.raises(WeightsError) as caught:
        read_model(folder)
    lines = str(caught.value).splitlines()
    assert "4 differences" in lines[0]
    assert [line.strip() for line in lines[1:]] == [
        "missing: norm.weight (16,)",
        "not expected: head.extra (2,)",
        "type: norm.bias expected F32, got I64",
        "shape: head.weight expected (3, 16), got (5, 16)",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(folder, value):
    damage(folder, lambda state: state["head.bias"].__setitem__(1, value))
    with pytest.raises(WeightsError, match=r"not finite: head\.bias"):
        read_model(folder)


def test_half_precision_weights_are_read(folder):
    damage(folder, lambda state: state.update({name: tensor.bfloat16() for name, tensor in list(state.items())}))
    assert read_model(folder).state["head.weight"].dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not of format 1, but 2"),
        ({"swin": {"version": 3}}, r"swin\.version"),
        ({"classes": None}, "classes"),
        ({"weights": {}}, r"weights\.bytes"),
    ],
)
def test_description_that_describes_no_model_names_the_field(folder, change, message):
    described = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    (folder / DESCRIPTION).write_text(json.dumps({**described, **change}))
    with pytest.raises(WeightsError, match=message):
        read_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '"model"', "null"])
def test_description_that_is_no_json_object_is_refused(folder, text):
    (folder / DESCRIPTION).write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_model(folder)


def test_missing_models_say_what_was_expected(tmp_path):
    with pytest.raises(UsageError, match="no model at"):
        read_model(tmp_path / "absent")
    with pytest.raises(WeightsError, match="holds no model: expected"):
        read_model(tmp_path)
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match="not of swinkit's own format"):
        read_model(tmp_path / "weights.pth")


def test_every_key_that_does_not_match_is_told_at_once(model):
    state = dict(model.state_dict())
    state["norm.extra"] = state.pop("norm.weight")
    state["norm.bias"] = torch.zeros(3)
    with pytest.raises(
        WeightsError, match=r"(?s)there.*3 differences.*missing: norm\.weight.*expected: norm\.extra.*shape: norm\.bias"
    ):
        refuse(differences(signatures(model.state_dict()), signatures(state)), "there")


@pytest.mark.parametrize("written", range(4))
def test_replacing_a_model_leaves_the_old_or_the_new_one_after_each_write(folder, monkeypatch, written):
    other = SwinClassifier(TINY.model_copy(update={"num_classes": 2}))
    calls = []

    def killed_after(function):
        def write(*args):
            if len(calls) == written:
                raise KeyboardInterrupt
            calls.append(function.__name__)
            return function(*args)

        return write

    monkeypatch.setattr(files, "write_atomically", killed_after(files.write_atomically))
    monkeypatch.setattr(files, "write_json", killed_after(files.write_json))
    if written < 3:
        with pytest.raises(KeyboardInterrupt):
            save_model(other, folder, classes=("x", "y"))
    else:
        save_model(other, folder, classes=("x", "y"))
    found = read_model(folder)
    assert found.classes == (CLASSES if written < 2 else ("x", "y"))
    monkeypatch.undo()
    save_model(other, folder, classes=("x", "z"))  # and the next save goes on from there
    assert read_model(folder).classes == ("x", "z")
    assert "replaces" not in json.loads((folder / DESCRIPTION).read_text("utf-8"))


def test_a_first_save_that_was_killed_between_its_files_can_be_repeated(model, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "write_atomically", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        swinkit.save(model, tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        read_model(tmp_path / "m")
    swinkit.save(model, tmp_path / "m")
    assert read_model(tmp_path / "m").sha256


def test_refused_save_keeps_the_old_model(model, folder, monkeypatch):
    before = read_model(folder).sha256
    monkeypatch.setattr(files, "serialise", lambda state: b"x" * 10)
    monkeypatch.setattr(files, "write_atomically", lambda *_: (_ for _ in ()).throw(SwinkitError("full")))
    with pytest.raises(SwinkitError, match="full"):
        save_model(model, folder, classes=CLASSES)
    assert read_model(folder).sha256 == before


@pytest.mark.parametrize("save", [swinkit.save, save_pretrained])
@pytest.mark.parametrize(
    "wrap",
    [lambda model: torch.compile(model, backend="eager"), AveragedModel, torch.nn.DataParallel,
     lambda model: torch.compile(AveragedModel(model), backend="eager")],
    ids=["compiled", "averaged", "parallel", "compiled and averaged"],
)  # fmt: skip
def test_a_model_is_saved_as_itself_whatever_it_is_wrapped_in(model, tmp_path, wrap, save):
    model.classes = CLASSES
    found = read_model(save(wrap(model), tmp_path / "m"))
    assert found.classes == CLASSES
    assert found.state.keys() == model.state_dict().keys()


def test_a_backbone_alone_is_refused_in_one_line(model, tmp_path):
    with pytest.raises(UsageError, match=r"^Expected .* backbone alone\. Mend: save the classifier that it belongs to$"):
        swinkit.save(model.backbone, tmp_path / "m")


def test_a_model_in_shards_is_refused_with_what_gathers_them(model, tmp_path):
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(UsageError, match=r"get_model_state_dict.*full_state_dict=True"):
            swinkit.save(model, tmp_path / "m")
    finally:
        distributed.destroy_process_group()


def test_a_model_that_could_not_be_read_again_is_not_saved(model, tmp_path):
    model.adapter = torch.nn.Linear(2, 2)
    with pytest.raises(WeightsError, match=r"this model do not fit(.|\n)*not expected: adapter\.weight"):
        save_model(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_error(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SwinkitError, match=r"Could not make the folder .*file.m: .* Mend: "):
        save_model(model, tmp_path / "file" / "m")


def test_a_description_without_end_is_refused(folder):
    (folder / DESCRIPTION).write_text("[" * 200_000)
    with pytest.raises(WeightsError, match="cannot be read as a model description"):
        read_model(folder)


def test_a_script_saves_every_epoch_into_one_folder_beside_its_own_log(model, tmp_path):
    (tmp_path / "log.txt").write_text("epoch 1")
    for value in (1.0, 2.0):
        model.head.bias.data.fill_(value)
        swinkit.save(model, tmp_path)
        assert read_model(tmp_path).state["head.bias"][0] == value
    (tmp_path / WEIGHTS).write_bytes(b"cut")  # a damaged model is replaced, too
    swinkit.save(model, tmp_path)
    assert read_model(tmp_path)
    assert (tmp_path / "log.txt").read_text() == "epoch 1"


@pytest.mark.parametrize("save", [swinkit.save, save_pretrained])
@pytest.mark.parametrize(
    ("there", "inner", "said"),
    [
        (
            {"config.json": '{"model_type": "swin"}', "model.safetensors": "theirs"},
            "",
            "holds model.safetensors and config.json",
        ),
        ({"config.json": "of a program of mine"}, "", "holds config.json that swinkit did not save"),
        ({"model.safetensors": "theirs"}, "", "holds model.safetensors that swinkit did not save"),
        ({"config.yaml": "", "data.json": "{}"}, "", "belongs to the run"),
        ({"config.yaml": "", "data.json": "{}"}, "model", "belongs to the run"),
        ({"bundle.json": "{}"}, "", "is an exported bundle"),
        ({"certificate.json": "{}"}, "", "is a conversion"),
        ({"log.txt": ""}, "log.txt", "is there already and is no folder"),
    ],
)
def test_nothing_but_an_earlier_save_is_overwritten(model, tmp_path, save, there, inner, said):
    for name, content in there.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=f"{said}.*Mend: save into another folder"):
        save(model, tmp_path / inner)
    assert {path.name: path.read_text() for path in tmp_path.rglob("*")} == there


def test_a_run_is_known_by_whatever_way_leads_to_it(model, tmp_path, monkeypatch):
    for name in RUN:
        (tmp_path / name).write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to("model")
    monkeypatch.chdir(tmp_path / "model")
    for way in (".", tmp_path / "link"):
        with pytest.raises(UsageError, match="belongs to the run"):
            swinkit.save(model, way)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_written(model, folder, value):
    before = read_model(folder).sha256
    model.head.bias.data[1] = value
    with pytest.raises(
        WeightsError, match=r"(?s)in 1 of \d+ tensors.*nothing is written.*not finite: head\.bias.*Mend: go back"
    ):
        swinkit.save(model, folder)
    assert read_model(folder).sha256 == before
