import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinkit.errors import WeightsError
from swinkit.train.checkpoint import CheckpointStore, decode, encode

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
KEYS = st.text(st.characters(codec="utf-8"), max_size=8) | st.integers() | st.sampled_from(["$tensor", "$tuple", "$pairs"])
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints")


def restored(value, path):
    content = encode(value)
    path.write_bytes(content)
    return decode(content, path)


@given(value=NESTED)
def test_every_plain_structure_comes_back_with_its_types(value, tmp_path_factory):
    back = restored({"value": value}, tmp_path_factory.mktemp("c") / "a")["value"]
    assert back == value
    assert repr(back) == repr(value)  # 1 == 1.0 == True


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors_come_back_bit_for_bit(dtype, shape, tmp_path):
    tensor = (torch.rand(shape) * 200 - 100).to(dtype)
    back = restored([tensor, (tensor, {7: tensor})], tmp_path / "a")
    assert all(torch.equal(one, tensor) and one.dtype is dtype for one in (back[0], back[1][0], back[1][1][7]))


def test_optimiser_and_generator_states_go_on_exactly(tmp_path):
    def start():
        torch.manual_seed(1)
        model = torch.nn.Linear(4, 4)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1), torch.Generator().manual_seed(5)

    def step(model, optimiser, generator):
        optimiser.zero_grad()
        model(torch.rand(2, 4, generator=generator)).square().sum().backward()
        optimiser.step()

    model, optimiser, generator = start()
    step(model, optimiser, generator)
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "generator": generator.get_state()}
    back = restored(state, tmp_path / "a")
    step(model, optimiser, generator)
    other, again, source = start()
    other.load_state_dict(back["model"])
    again.load_state_dict(back["optimiser"])
    source.set_state(back["generator"])
    step(other, again, source)
    assert torch.equal(model.weight, other.weight)


def test_what_is_not_plain_is_refused_when_saved(store):
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save({"code": print}, 1)


def test_equal_states_have_equal_hashes(store):
    state = {"a": torch.arange(5.0), "b": [1, (2.5, None)]}
    assert store.save(state, 3) == store.save(state, 3)


def test_two_newest_are_kept_and_the_newest_is_found(store):
    for step in (5, 90, 100, 1000):
        store.save({"at": step}, step)
    names = sorted(path.name.split(".")[0] for path in store.folder.iterdir())
    assert names == ["step_0000000100"] * 2 + ["step_0000001000"] * 2
    assert store.newest_valid() == ({"at": 1000}, 1000, [])


def test_nothing_yet_is_none(store):
    assert store.newest_valid() is None


def test_same_step_again_never_touches_what_the_manifest_names(store, monkeypatch):
    store.save({"at": 1}, 1)
    monkeypatch.setattr("swinkit.train.checkpoint.write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save({"at": "one"}, 1)
    assert store.newest_valid().state == {"at": 1}


def test_checkpoint_after_a_fallback_replaces_the_damaged_future(store):
    store.save({"at": 1}, 1)
    store.save({"at": 9}, 9)
    next(store.folder.glob("step_0000000009.*.safetensors")).write_bytes(b"")
    store.save({"at": 2}, 2)
    assert [path.stem for path in store.manifests()] == ["step_0000000002", "step_0000000001"]


def test_all_damaged_is_an_error_that_names_each(store):
    for step in (1, 2):
        store.save({"at": step}, step)
    for data in store.folder.glob("*.safetensors"):
        data.write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"(?s)step_0000000002.*damaged.*step_0000000001.*damaged.*start a new run"):
        store.newest_valid()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"file": 3}', '{"file": "../../etc/passwd", "sha256": ""}', "\x00"])
def test_damaged_manifest_falls_back(store, text):
    store.save({"at": 1}, 1)
    store.save({"at": 2}, 2)
    store.manifests()[0].write_text(text)
    found = store.newest_valid()
    assert found.state == {"at": 1}
    assert "step_0000000002" in found.notes[0]


def test_foreign_safetensors_with_a_right_hash_is_no_checkpoint(store):
    store.save({"at": 1}, 1)
    manifest = store.manifests()[0]
    entry = json.loads(manifest.read_text())
    from safetensors.torch import save

    from swinkit.weights.atomic import write_atomically

    entry["sha256"] = write_atomically(store.folder / entry["file"], save({"a": torch.zeros(1)}))
    manifest.write_text(json.dumps(entry))
    with pytest.raises(WeightsError, match="no checkpoint of swinkit"):
        store.newest_valid()
