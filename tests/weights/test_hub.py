"""Names of weights elsewhere, against a stand-in for the hub on this machine: fetched once, checked, explained when they cannot be had."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import urllib.request
from pathlib import Path

import pytest
import torch

import swinkit
from swinkit.config import SwinConfig
from swinkit.errors import SwinkitError, UsageError, WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described
from swinkit.weights import hub as names
from swinkit.weights.download import Redirects, download
from swinkit.weights.formats import DIALECTS
from swinkit.weights.hub import is_remote, locate
from swinkit.weights.publishing import push_to_hub, save_pretrained
from swinkit.weights.streams import write_pth, write_safetensors
from swinkit.weights.translation import export

from .stand_in import COMMIT, Hub

TINY = SwinConfig(embed_dim=8, depths=(1, 1), num_heads=(1, 2), num_classes=3, image_size=(32, 32), window_size=(4, 4))


@pytest.fixture
def model() -> SwinClassifier:
    torch.manual_seed(0)
    made = described(SwinClassifier(TINY), ("ant", "bee `x`", "cat"), Preprocessing(size=(32, 32), resize="squash"))
    made.metadata = {"metrics": {"top1": 0.9}}  # type: ignore[assignment]
    return made.eval()


@pytest.fixture
def unused_address() -> str:
    """An address on this machine at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def published(hub: Hub, model: SwinClassifier, tmp_path: Path) -> Hub:
    folder = save_pretrained(model, tmp_path / "made", licence="apache-2.0")
    hub.repositories["org/swin"] = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.repositories["org/swin"]["pytorch_model.bin"] = b"not wanted"
    return hub


def test_a_model_on_the_hub_answers_like_the_one_that_was_published(published: Hub, model: SwinClassifier) -> None:
    loaded = swinkit.load("hf-hub:org/swin")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))
    assert loaded.classes == model.classes
    assert loaded.preprocessing == model.preprocessing
    assert not any("pytorch_model.bin" in request for request in published.requests)


def test_it_is_fetched_once_and_said(published: Hub) -> None:
    said: list[str] = []
    first = locate("hf-hub:org/swin@v1", said.append).path
    fetched = [request for request in published.requests if request.startswith("GET /cdn")]
    assert locate("hf-hub:org/swin@v1", said.append).path == first
    assert [request for request in published.requests if request.startswith("GET /cdn")] == fetched
    assert len(fetched) == 1
    assert len(said) == 1
    assert "3 files" in said[0]
    assert "MB" in said[0]


def test_where_the_hub_cannot_be_reached_the_cache_serves_and_is_named(
    published: Hub, unused_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = locate("hf-hub:org/swin").path, list[str]()
    monkeypatch.setenv("HF_ENDPOINT", unused_address)
    for name in ("hf-hub:org/swin", f"hf-hub:org/swin@{COMMIT}"):
        assert locate(name, said.append).path == found
        assert COMMIT[:12] in said.pop()


@pytest.mark.parametrize("variable", ["SWINKIT_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_takes_the_cache_and_nothing_else(published: Hub, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate("hf-hub:org/swin").path
    published.requests.clear()
    monkeypatch.setenv(variable, "1")
    assert locate("hf-hub:org/swin").path == found
    assert locate(f"hf-hub:org/swin@{COMMIT}").path == found
    for name in ("hf-hub:org/other", "hf-hub:org/swin@v2", f"{published.address}/releases/download/a.pth"):
        with pytest.raises(WeightsError, match=variable):
            locate(name)
    assert published.requests == []


def test_offline_the_cache_needs_no_library_of_the_hub(published: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = locate("hf-hub:org/swin").path
    monkeypatch.setenv("SWINKIT_OFFLINE", "1")
    monkeypatch.setattr(names, "hub_client", lambda: pytest.fail("the library was asked for"))
    assert locate("hf-hub:org/swin").path == found


def test_bytes_that_are_not_the_announced_ones_are_refused(published: Hub) -> None:
    published.faults.add("hash")
    with pytest.raises(WeightsError, match="SHA-256"):
        locate("hf-hub:org/swin")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf-hub:org/absent", "private"),
        ("hf-hub:org/swin@v9", "no such revision"),
        ("hf-hub:org/gated", "terms"),
        ("hf-hub:org/data", "holds no weights"),
    ],
)
def test_what_cannot_be_had_is_explained(published: Hub, name: str, words: str) -> None:
    published.private.add("org/gated")
    published.repositories["org/data"] = {"train.csv": b"1"}
    with pytest.raises(WeightsError, match=words):
        locate(name)


def test_no_network_is_said_in_clear_words(hub: Hub, unused_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", unused_address)
    for name in ("hf-hub:org/swin", f"{unused_address}/releases/download/swin.pth"):
        with pytest.raises(WeightsError, match="network"):
            locate(name)


@pytest.mark.parametrize("name", ["hf-hub:swin", "hf-hub:org/../x", "hf-hub:/etc/passwd", "hf-hub:org/swin@../../x", "hf-hub:"])
def test_names_that_are_none_are_refused_before_any_request(hub: Hub, name: str) -> None:
    with pytest.raises(UsageError, match="org/name"):
        locate(name)
    assert hub.requests == []


def test_sharded_models_come_whole(hub: Hub) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    parts = dict.fromkeys(index["weight_map"].values(), b"x")
    hub.repositories["org/large"] = {"model.safetensors.index.json": json.dumps(index).encode(), **parts, "config.json": b"{}"}
    assert {path.name for path in locate("hf-hub:org/large").path.iterdir()} == set(hub.repositories["org/large"])


def release(hub: Hub, name: str = "swin_tiny_patch4_window7_224_22k.pth") -> tuple[str, bytes]:
    buffer = io.BytesIO()
    torch.save({"model": {"a": torch.ones(3)}}, buffer)
    hub.repositories.setdefault("releases", {})[f"v1.0.0/{name}"] = buffer.getvalue()
    return f"{hub.address}/releases/download/v1.0.0/{name}", buffer.getvalue()


def test_a_release_is_fetched_once_and_its_name_tells_the_variant(hub: Hub) -> None:
    url, content = release(hub)
    found = locate(url)
    assert found.path.read_bytes() == content
    assert found.variant == "swin_tiny_patch4_window7_224"
    locate(f"{url}#sha256={hashlib.sha256(content).hexdigest()}")
    assert len(hub.requests) == 1


@pytest.mark.parametrize("fragment", ["sha256:deadbeef", "SHA256=deadbeef", "deadbeef00", "sha256=", "sha256=dead"])
def test_a_hash_that_is_misspelt_is_not_passed_over(hub: Hub, fragment: str) -> None:
    url, _ = release(hub)
    with pytest.raises(UsageError, match=f"ends in #{fragment}. Expected nothing, or the file's hash"):
        locate(f"{url}#{fragment}")
    assert hub.requests == []


def test_an_address_with_letters_beyond_ascii_is_fetched(hub: Hub) -> None:
    release(hub, "größe.pth")
    found = locate(f"{hub.address}/releases/download/v1.0.0/größe.pth")
    assert found.path.name.endswith("größe.pth")


def test_a_cache_that_cannot_be_is_said(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = release(hub)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SWINKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(SwinkitError, match=r"cannot hold what is fetched: .*Mend: set SWINKIT_CACHE"):
        locate(url)


def test_a_file_that_is_there_is_no_enum_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_remote("Swin_T_Weights.pth")
    Path("Swin_T_Weights.pth").write_bytes(b"")
    assert not is_remote("Swin_T_Weights.pth")


def test_a_release_with_another_hash_is_refused_and_not_kept(hub: Hub, tmp_path: Path) -> None:
    url, _ = release(hub)
    with pytest.raises(WeightsError, match="SHA-256"):
        locate(f"{url}#sha256={'0' * 64}")
    assert list((tmp_path / "cache").iterdir()) == []


def test_files_of_one_name_from_two_addresses_are_two(hub: Hub) -> None:
    url, content = release(hub)
    hub.repositories["releases"]["v2.0.0/" + Path(url).name] = b"of another address"
    assert locate(url).path.read_bytes() == content
    assert locate(url.replace("v1.0.0", "v2.0.0")).path.read_bytes() == b"of another address"


def test_a_fetched_file_that_changed_is_found(hub: Hub) -> None:
    url, _ = release(hub)
    locate(url).path.write_bytes(b"something else")
    with pytest.raises(WeightsError, match="SHA-256"):
        locate(url)


def test_a_connection_that_breaks_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    url, _ = release(hub)
    hub.faults.add("cut")
    with pytest.raises(WeightsError, match="network"):
        locate(url)
    assert list((tmp_path / "cache").iterdir()) == []


def test_http_is_for_this_machine_alone(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="https"):
        download("http://example.org/swin.pth", tmp_path)


def test_a_server_may_not_send_away_from_https() -> None:
    request = urllib.request.Request("https://example.org/swin.pth")
    with pytest.raises(WeightsError, match="expected https"):
        Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/swin.pth")


def test_torchvisions_names_bring_their_preprocessing(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(url: str, folder: Path, sha256: str, say: object) -> Path:
        asked.extend((url, sha256))
        return tmp_path

    monkeypatch.setattr(names, "download", fetch)
    found = locate("Swin_V2_T_Weights.IMAGENET1K_V1")
    assert found.variant == "swinv2_t"
    assert found.preprocessing is not None
    assert found.preprocessing.size == (256, 256)
    assert found.preprocessing.interpolation == "bicubic"
    assert found.preprocessing.resized(600, 300) == (520, 260)
    assert asked[0].endswith(f"{asked[1]}.pth")
    with pytest.raises(UsageError, match="torchvision"):
        locate("Swin_T_Weights.NONE_SUCH")


@pytest.mark.parametrize("name", ["runs/classify/shoes", "swin_t", "hf-hub", "model.pth", Path("a/b")])
def test_paths_and_variants_are_no_names(name: str | Path) -> None:
    assert not is_remote(name)
    assert locate(name).path == Path(name)


def test_a_pushed_model_comes_back_the_same(hub: Hub, model: SwinClassifier) -> None:
    address = push_to_hub(model, "org/mine", licence="mit")
    assert address.endswith(COMMIT)
    assert set(hub.repositories["org/mine"]) >= {"model.safetensors", "config.json", "README.md"}
    loaded = swinkit.load("hf-hub:org/mine")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_a_second_push_keeps_the_card_and_takes_all_that_the_first_took(hub: Hub, model: SwinClassifier) -> None:
    model.metadata = {"temperature": 1.5, "metrics": {"top1": 0.9}}  # type: ignore[assignment]
    push_to_hub(model, "org/mine")
    hub.repositories["org/mine"]["README.md"] = b"written on by people"
    first = hub.repositories["org/mine"]["config.json"]
    push_to_hub(model, "org/mine")
    assert hub.repositories["org/mine"]["config.json"] == first
    assert b"1.5" in first
    assert hub.repositories["org/mine"]["README.md"] == b"written on by people"


def test_a_second_push_tells_of_its_own_model_in_a_card_that_people_wrote_on_in(hub: Hub, model: SwinClassifier) -> None:
    push_to_hub(model, "org/mine")
    hub.repositories["org/mine"]["README.md"] += b"\nThanks to all bees.\n"
    model.metadata = {"metrics": {"top1": 0.25}}  # type: ignore[assignment]
    push_to_hub(model, "org/mine")
    card = hub.repositories["org/mine"]["README.md"].decode()
    assert card.endswith("\nThanks to all bees.\n")
    assert "| top1 | 0.25 |" in card
    assert "0.9" not in card


def test_pushing_is_refused_offline_and_where_the_hub_is_gone(
    hub: Hub, model: SwinClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="org/name"):
        push_to_hub(model, "mine")
    monkeypatch.setenv("SWINKIT_OFFLINE", "1")
    with pytest.raises(SwinkitError, match="SWINKIT_OFFLINE"):
        push_to_hub(model, "org/mine")
    assert hub.requests == []


def test_the_card_says_what_the_model_is(model: SwinClassifier, tmp_path: Path) -> None:
    card = (save_pretrained(model, tmp_path, licence="apache-2.0") / "README.md").read_text("utf-8")
    for words in ('library_name: "swinkit"', 'license: "apache-2.0"', "`ant`", "bee 'x'", "top1 | 0.9", "squashed", "SHA-256"):
        assert words in card
    (tmp_path / "README.md").write_text("mine", "utf-8")
    save_pretrained(model, tmp_path)
    assert (tmp_path / "README.md").read_text("utf-8") == "mine"


@pytest.mark.parametrize("name", ["swin.pth", "open_clip_pytorch_model.safetensors", "any.safetensors"])
def test_a_repository_may_call_its_one_file_as_it_likes(hub: Hub, model: SwinClassifier, tmp_path: Path, name: str) -> None:
    state = export(model.state_dict(), TINY, DIALECTS["microsoft"])
    (write_pth if name.endswith(".pth") else write_safetensors)(tmp_path / name, state)
    hub.repositories["org/swin"] = {name: (tmp_path / name).read_bytes()}
    loaded = swinkit.load("hf-hub:org/swin", image_size=32)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(loaded(images), model(images))


def test_of_several_files_one_has_to_be_named(hub: Hub) -> None:
    hub.repositories["org/swin"] = {"tiny.pth": b"x", "small.pth": b"y"}
    with pytest.raises(WeightsError, match=r"several files of weights: tiny\.pth, small\.pth"):
        locate("hf-hub:org/swin")
    assert not any("resolve" in request for request in hub.requests)


def test_an_address_that_is_none_is_said(hub: Hub) -> None:
    with pytest.raises(WeightsError, match="control characters"):
        locate(f"{hub.address}/a file.pth")
