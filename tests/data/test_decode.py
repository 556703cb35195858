"""The decode table of docs/data.md, row by row, against references written down here."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from swinkit.data.arrays import MAX_PIXELS, Undecodable, luma
from swinkit.data.decode import decode

from .pictures import colourful, encoded

RAMP = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)


def test_plain_rgb_is_as_stored():
    image = colourful()
    assert np.array_equal(decode(encoded(image, "PNG")), np.asarray(image))


@pytest.mark.parametrize(
    ("least", "size"), [(None, (120, 160)), (121, (120, 160)), (60, (60, 80)), (59, (60, 80)), (10, (15, 20))]
)
def test_a_jpeg_may_come_smaller_but_no_smaller_than_wanted(least, size):
    photo = encoded(colourful().resize((160, 120)), "JPEG", quality=95)
    picture = decode(photo, 3, least)
    assert picture.shape == (*size, 3)
    small = np.asarray(Image.fromarray(decode(photo)).resize(size[::-1], Image.Resampling.BOX), np.int16)
    assert np.abs(picture - small).mean() < 4
    assert decode(encoded(colourful(), "PNG"), 3, least).shape == np.asarray(colourful()).shape


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_18_exif_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = colourful()
    expected = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90,
    }[orientation](np.asarray(image))  # fmt: skip
    assert np.array_equal(decode(encoded(image, "PNG", exif=exif)), expected)
    assert np.array_equal(decode(encoded(image, "TIFF", exif=exif)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fault_18_exif_orientation_of_16_bit_equals_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(Image.fromarray(deep.astype(np.uint8)), "PNG", exif=exif))))
    decoded = decode(encoded(Image.fromarray(deep), "PNG", exif=exif), channels=1)[..., 0]
    assert np.array_equal((decoded * 65535).round().astype(np.uint16).astype(np.uint8), np.asarray(turned))


def test_fault_18_cmyk_without_profile():
    ink = Image.new("CMYK", (2, 2), (255, 0, 0, 0))
    assert decode(encoded(ink, "TIFF"))[0, 0].tolist() == [0, 255, 255]


def test_fault_18_cmyk_jpeg():
    red, green, blue = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))[8, 8].tolist()
    assert red > 245
    assert green < 10
    assert blue < 10


def profile_with_swapped_primaries() -> bytes:
    """An sRGB profile whose red and blue columns have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    entries = {bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = data[blue + 4 : blue + 12], data[red + 4 : red + 12]
    return bytes(data)


def test_fault_18_icc_profile_is_applied():
    stored = encoded(Image.new("RGB", (4, 4), (250, 20, 10)), "PNG", icc_profile=profile_with_swapped_primaries())
    assert np.abs(decode(stored)[0, 0].astype(int) - (10, 20, 250)).max() <= 2


def test_fault_18_an_icc_profile_is_applied_to_palettes_too_and_leaves_transparency():
    colour, clear, profile = (250, 20, 10), (0, 90, 200), profile_with_swapped_primaries()
    image = Image.new("RGB", (4, 4), colour)
    expected = decode(encoded(image, "PNG", icc_profile=profile))
    assert np.array_equal(decode(encoded(image.quantize(2), "PNG", icc_profile=profile)), expected)
    image.putpixel((1, 2), clear)
    for stored in (image, image.quantize(2)):
        key = clear if stored.mode == "RGB" else stored.getpixel((1, 2))
        picture = decode(encoded(stored, "PNG", icc_profile=profile, transparency=key))
        assert picture[2, 1].tolist() == [255, 255, 255]
        assert np.array_equal(picture[0], expected[0])


def test_fault_18_damaged_icc_profile_is_ignored():
    image = colourful()
    assert np.array_equal(decode(encoded(image, "PNG", icc_profile=b"not a profile")), np.asarray(image))


def test_fault_18_alpha_is_laid_over_white():
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    assert decode(encoded(half, "PNG"))[0, 0].tolist() == [127, 127, 127]
    assert decode(encoded(Image.new("LA", (2, 2), (0, 0)), "PNG"))[0, 0].tolist() == [255, 255, 255]


def test_fault_18_palette_with_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.putdata([0, 1])
    assert decode(encoded(image, "PNG")).tolist() == [[[10, 20, 30], [200, 0, 0]]]
    assert decode(encoded(image, "PNG", transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_fault_18_16_bit_is_scaled_not_saturated(format):
    decoded = decode(encoded(Image.fromarray(RAMP), format))
    assert decoded.dtype == np.float32
    assert decoded.shape == (16, 16, 3)
    np.testing.assert_allclose(decoded[..., 0], RAMP / 65535, atol=1e-7)


def test_8_bits_stored_in_32_are_refused_and_other_integers_scaled():
    dark = np.array([[0, 255], [3, 4]])
    with pytest.raises(Undecodable, match=r"0\.\.255 in 32 bits.* Mend: save as 8 bits"):
        decode(encoded(Image.fromarray(dark.astype(np.int32)), "TIFF"))
    for image in (Image.fromarray(dark.astype(np.int32)), Image.fromarray(dark.astype(np.uint8)).convert("I")):
        with pytest.raises(Undecodable, match=r"0\.\.255 in 32 bits.* Mend: .*image\.convert\('L'\)"):
            decode(image)
    assert np.allclose(decode(Image.fromarray((dark * 257).astype(np.int32)), 1)[..., 0], dark / 255)
    readable = [(dark * 257, np.int32, "TIFF"), (dark * 0, np.int32, "TIFF")]
    readable += [(dark, np.uint16, format) for format in ("TIFF", "PNG", "PPM")]
    for values, kind, format in readable:
        decoded = decode(encoded(Image.fromarray(values.astype(kind)), format), 1)[..., 0]
        np.testing.assert_allclose(decoded, values / 65535, atol=1e-7)


def test_16_bit_pgm_is_scaled():
    data = b"P5 2 1 65535\n" + struct.pack(">HH", 0, 32768)
    np.testing.assert_allclose(decode(data, 1).ravel(), [0, 32768 / 65535], atol=1e-4)


def test_16_bit_rgb_png_keeps_its_upper_bits():
    row = b"\0" + struct.pack(">HHH", 0x1234, 0x8001, 0xFFFF)
    assert decode(png(1, 1, 16, 2, zlib.compress(row)))[0, 0].tolist() == [0x12, 0x80, 0xFF]


def test_fault_18_float_tiff():
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(values), "TIFF"), 1)[..., 0], values)


@pytest.mark.parametrize(("value", "reason"), [(3.5, "0..1"), (np.nan, "not finite"), (np.inf, "not finite"), (-0.5, "0..1")])
def test_float_without_agreed_white_is_refused(value, reason):
    values = np.full((2, 2), value, np.float32)
    with pytest.raises(Undecodable, match=reason):
        decode(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_fault_18_animated_gives_the_first_frame(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 200, 0))]
    stored = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(decode(stored)[4, 4].astype(int) - (200, 0, 0)).max() <= 3


def test_gray_from_colour_is_pillows_luma():
    image = colourful(3)
    assert np.array_equal(decode(encoded(image, "PNG"), 1)[..., 0], np.asarray(image.convert("L")))
    assert np.array_equal(luma(np.asarray(image))[..., 0], np.asarray(image.convert("L")))


def test_premultiplied_gray_is_laid_over_white_as_any_other():
    image = Image.merge("LA", [Image.new("L", (3, 2), value) for value in (200, 128)])
    for channels in (1, 3):
        assert np.abs(decode(image.convert("La"), channels).astype(int) - decode(image, channels)).max() <= 1


def test_bilevel():
    assert decode(encoded(Image.new("1", (3, 2), 1), "PNG"))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_npy_of_many_channels(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 256, (6, 7, channels), dtype=np.uint8)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(decode(tmp_path / "a.npy", channels), values)
    with pytest.raises(Undecodable, match=f"has {channels} channels; expected 9"):
        decode(tmp_path / "a.npy", 9)


@pytest.mark.parametrize(
    ("shape", "hinted"),
    [((3, 30, 40), True), ((1, 17, 17), True), ((4, 20, 2000), True), ((30, 40, 5), False), ((20, 30, 40), False)],
)
def test_an_array_with_the_channels_first_is_told_so(shape, hinted):
    with pytest.raises(Undecodable) as raised:
        decode(np.zeros(shape, np.uint8))
    assert ("Mend: array.transpose(1, 2, 0)" in raised.value.reason) == hinted


def test_npy_never_unpickles(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    with pytest.raises(Undecodable, match="type object"):
        decode(tmp_path / "a.npy")


def test_npy_bomb_is_refused_from_its_header(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    with pytest.raises(Undecodable, match="more than the"):
        decode(tmp_path / "a.npy")


def test_tiff_pages_are_channels():
    pages = [np.full((3, 4), value, np.uint8) for value in range(5)]
    images = [Image.fromarray(page) for page in pages]
    assert np.array_equal(decode(encoded(images[0], "TIFF", save_all=True, append_images=images[1:]), 5), np.stack(pages, -1))


def test_four_bands_are_kept_when_asked_for():
    image = Image.new("RGBA", (2, 2), (1, 2, 3, 4))
    assert decode(encoded(image, "PNG"), 4)[0, 0].tolist() == [1, 2, 3, 4]


def test_a_pillow_image_decodes_as_its_file():
    image = colourful()
    assert np.array_equal(decode(image), decode(encoded(image, "PNG")))


def png(width: int, height: int, depth: int, kind: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 1, 12_000, 20_000])
def test_fault_17_bomb_is_refused_before_decoding(monkeypatch, side):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("a pixel was decoded"))
    warnings.simplefilter("error")  # Pillow's own words about it are nobody's business; pytest puts filters back
    with pytest.raises(Undecodable, match=f"declares {side:,} x {side:,} pixels, more than the"):
        decode(png(side, side, 8, 2, zlib.compress(b"\0" * 1000)))


@settings(max_examples=60, deadline=None)
@given(format=st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"]), data=st.data())
def test_damaged_files_are_refused_or_decoded_never_anything_else(format, data):
    stored = bytearray(encoded(colourful(), format))
    for _ in range(data.draw(st.integers(1, 4))):
        stored[data.draw(st.integers(0, len(stored) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(stored[: data.draw(st.integers(1, len(stored)))]))
    except Undecodable:
        return
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
