"""Pictures as people have them: formats, rotations, depths, broken files, folders."""

import zlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gpussl.data import decode, images
from gpussl.data.images import ImageFolder, ImageReader
from gpussl.errors import DataError


def load(folder, **settings):
    return ImageFolder(str(folder), **settings).load()


def pixels(folder, name="a.png"):
    data = load(folder)
    return data.X_train[data.train_ids.index(name)].reshape(data.image_shape)


class TestOneRuleForEach:
    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_grey_values_of_16_bits_stay_different(self, tmp_path, name):
        values = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4096
        Image.fromarray(values).save(tmp_path / name)
        data = load(tmp_path)
        np.testing.assert_array_equal(data.X_train[0], np.round(values / 257).reshape(-1))
        assert any("16-bit" in note for note in data.notes)

    def test_the_rotation_of_the_camera_is_applied(self, tmp_path):
        image = Image.new("RGB", (6, 3))
        image.putpixel((0, 0), (255, 255, 255))
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(tmp_path / "a.png", exif=exif)
        found = pixels(tmp_path)
        assert found.shape == (6, 3, 3)
        assert found[0, 2].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparency_is_white(self, tmp_path, mode):
        image = Image.new(mode, (2, 2), (0,) * len(mode))
        image.putpixel((0, 0), (0,) * (len(mode) - 1) + (255,))
        image.save(tmp_path / "a.png")
        found = pixels(tmp_path).reshape(4, -1)[:, 0]
        assert found.tolist() == [0, 255, 255, 255]

    @pytest.mark.parametrize("name", ["a.gif", "a.jpg"])
    def test_of_several_frames_the_first_is_taken(self, tmp_path, name):
        frames = [Image.new("L", (4, 4), value) for value in (10, 100, 200)]
        frames[0].save(tmp_path / name, format="GIF", save_all=True, append_images=frames[1:])
        data = load(tmp_path)
        assert set(data.X_train[0].tolist()) == {10}
        assert any("several frames" in note for note in data.notes)

    def test_pictures_of_phones_need_an_extra(self, tmp_path, monkeypatch):
        heif = pytest.importorskip("pillow_heif", reason="needs gpussl[heif]")
        heif.register_heif_opener()
        Image.new("RGB", (16, 8), (200, 30, 30)).save(tmp_path / "a.heic", quality=95)
        Image.new("RGB", (16, 8)).save(tmp_path / "b.png")
        found = pixels(tmp_path, "a.heic")
        assert found.shape == (8, 16, 3)
        assert np.abs(found.astype(int) - [200, 30, 30]).max() <= 4
        monkeypatch.setattr(decode, "_reads_heif", lambda: False)
        assert load(tmp_path).skipped == [("a.heic", "a HEIC picture, which needs gpussl[heif]")]

    @pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
    def test_content_decides_not_the_suffix(self, tmp_path, form):
        Image.new("L", (8, 8), 77).save(tmp_path / "picture", format=form)
        assert abs(int(load(tmp_path).X_train.max()) - 77) <= 2

    def test_palette_and_cmyk_have_colours(self, tmp_path):
        Image.new("RGB", (4, 4), "red").quantize(2).save(tmp_path / "a.png")
        Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "b.jpg")
        data = load(tmp_path)
        for row in data.X_train.reshape(2, 16, 3):
            assert row[0, 0] > 200
            assert row[0, 1:].max() < 60

    def test_sizes_and_modes_may_be_mixed(self, tmp_path):
        for name, mode, size in (("a", "RGB", (3, 5)), ("b", "L", (5, 3)), ("c", "1", (1, 1))):
            Image.new(mode, size).save(tmp_path / f"{name}.png")
        assert load(tmp_path).X_train.shape[0] == 3

    def test_large_pictures_are_made_small_with_their_aspect(self, tmp_path):
        Image.new("L", (400, 200), 255).save(tmp_path / "a.png")
        Image.new("L", (200, 200), 255).save(tmp_path / "b.png")
        Image.new("L", (400, 200), 255).save(tmp_path / "c.png")
        data = load(tmp_path)
        assert data.image_shape == (32, 64)
        square = data.X_train[1].reshape(32, 64)
        assert set(square[:, :16].reshape(-1)) == {0}
        assert set(square[:, 17:47].reshape(-1)) == {255}


class TestBroken:
    def test_it_is_skipped_and_named(self, tmp_path):
        rng = np.random.default_rng(0)
        for n in range(5):
            Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(tmp_path / f"{n}.jpg")
        whole = (tmp_path / "0.jpg").read_bytes()
        (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
        (tmp_path / "empty.jpg").touch()
        (tmp_path / "page.jpg").write_text("<html>404")
        data = load(tmp_path)
        assert data.train_ids == [f"{n}.jpg" for n in range(5)]
        assert [name for name, _ in data.skipped] == ["empty.jpg", "half.jpg", "page.jpg"]
        with pytest.raises(DataError, match=r"empty\.jpg: expected a point that can be read, found one that cannot"):
            load(tmp_path, strict=True)

    def test_too_many_are_an_error(self, tmp_path):
        Image.new("L", (4, 4)).save(tmp_path / "a.png")
        for n in range(2):
            (tmp_path / f"{n}.png").write_text("no picture")
        with pytest.raises(DataError, match="expected at least half of the data to be readable, found 2 of 3"):
            load(tmp_path)

    def test_a_bomb_is_skipped(self, tmp_path):
        for name in "ab":
            Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")
        Image.new("1", (20_000, 20_000)).save(tmp_path / "c.png")
        ((name, reason),) = load(tmp_path).skipped
        assert name == "c.png"
        assert "20000 x 20000" in reason

    def test_a_damaged_checksum_inside_is_found(self, tmp_path):
        for name in "ab":
            Image.new("L", (40, 40), 9).save(tmp_path / f"{name}.png")
        content = bytearray((tmp_path / "a.png").read_bytes())
        at = content.index(b"IDAT") + 6
        content[at] ^= 0xFF
        (tmp_path / "c.png").write_bytes(bytes(content))
        assert [name for name, _ in load(tmp_path).skipped] == ["c.png"]
        assert zlib.crc32(bytes(content))  # the file is not empty


class TestFolders:
    def fill(self, folder, *names):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), len(name)).save(path, format="PNG")

    def test_hidden_and_system_files_are_not_there(self, tmp_path):
        self.fill(tmp_path, "a/1.png", "b/1.png", ".ipynb_checkpoints/1.png", "__MACOSX/a/._1.png")
        (tmp_path / "a" / ".DS_Store").touch()
        (tmp_path / "Thumbs.db").touch()
        data = load(tmp_path, labels="folders")
        assert data.train_ids == ["a/1.png", "b/1.png"]
        assert data.class_names == ("a", "b")

    def test_folders_are_no_classes_unless_it_is_said(self, tmp_path):
        self.fill(tmp_path, "a/1.png", "b/1.png")
        assert load(tmp_path).y_train is None

    def test_an_empty_folder_is_allowed(self, tmp_path):
        self.fill(tmp_path, "a/1.png", "a/2.png")
        (tmp_path / "b").mkdir()
        assert load(tmp_path, labels="folders").class_names == ("a",)

    def test_suffixes_may_be_in_any_case_and_base_names_may_repeat(self, tmp_path):
        self.fill(tmp_path, "a/1.JPG", "a/2.Jpeg", "b/1.JPG")
        assert load(tmp_path).train_ids == ["a/1.JPG", "a/2.Jpeg", "b/1.JPG"]

    def test_no_pictures_are_an_error(self, tmp_path):
        with pytest.raises(DataError, match="expected pictures, found none"):
            load(tmp_path)


def test_pixels_are_read_once_and_again_only_if_the_file_has_changed(tmp_path, monkeypatch):
    folder, cache = tmp_path / "photos", tmp_path / "cache"
    folder.mkdir()
    for n in range(4):
        Image.new("L", (4, 4), n).save(folder / f"{n}.png")
    decoded = []
    original = images.in_processes
    monkeypatch.setattr(images, "in_processes", lambda paths, *how: decoded.extend(paths) or original(paths, *how))
    first = load(folder, cache=str(cache))
    assert len(decoded) == 4
    np.testing.assert_array_equal(load(folder, cache=str(cache)).X_train, first.X_train)
    assert len(decoded) == 4
    Image.new("L", (4, 4), 200).save(folder / "2.png")
    (folder / "0.png").unlink()
    again = load(folder, cache=str(cache))
    assert again.train_ids == ["1.png", "2.png", "3.png"]
    assert again.X_train[:, 0].tolist() == [1, 200, 3]
    assert len(decoded) == 5
    for path in cache.rglob("*.npy"):  # a damaged cache is not believed
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content))
    np.testing.assert_array_equal(load(folder, cache=str(cache)).X_train, again.X_train)
    assert len(decoded) == 8


def test_many_pictures_are_decoded_by_processes_as_by_one(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(images.ENOUGH_FOR_PROCESSES):
        Image.fromarray(rng.integers(0, 255, (4, 4), dtype=np.uint8)).save(tmp_path / f"{n:03}.png")
    data = load(tmp_path)
    expected = [np.asarray(Image.open(tmp_path / name)).reshape(-1) for name in data.train_ids]
    np.testing.assert_array_equal(data.X_train, expected)


def test_a_reader_reads_one_picture_and_refuses_nothing(tmp_path):
    Image.new("L", (4, 4), 9).save(tmp_path / "a.png")
    reader = ImageReader(4, 4, 1)
    (part,) = reader.read(tmp_path / "a.png")
    assert part.ids == ["a.png"]
    with pytest.raises(DataError, match="found nothing there"):
        list(reader.read(tmp_path / "b.png"))


def test_a_link_to_a_folder_above_is_no_endless_folder(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert load(tmp_path).train_ids == ["a/1.png"]


def test_the_project_beside_the_pictures_is_no_picture(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    (tmp_path / "p.gpussl").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "p.gpussl" / "figure.png")
    assert load(tmp_path).train_ids == ["1.png"]


def test_a_frame_is_no_folder_of_pictures():
    with pytest.raises(DataError, match="expected a folder of pictures or a picture, found a DataFrame"):
        next(ImageReader(4, 4, 1).read(pd.DataFrame()))
