"""Decode image files. Imports little: the processes that decode start quickly."""

import functools
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

WHITE = 255
ROTATION, UPRIGHT = 0x0112, 1  # the tag of EXIF, and its value for pictures that need none
HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})  # brands of its files
DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # grey values of 16 bits

_OPENING = threading.Lock()

Decoded = tuple[np.ndarray | None, str, list[str]]  # pixels, or why there are none; remarks


def decode(path: str, shape: tuple[int, int], channels: int, max_pixels: int) -> Decoded:
    """Decode an image file to uint8 pixels (height * width * channels,), or say why it cannot be.

    The camera's rotation is applied, transparency is put on white, grey values of 16 bits are divided by 257, and of
    several frames the first is taken. The image keeps its aspect: it is scaled to fit `shape`, and the rest is black.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (4, 2), 200).save(f"{folder}/a.png")
    ...     pixels, reason, remarks = decode(f"{folder}/a.png", (2, 2), 1, 10**6)
    >>> pixels.tolist()
    [200, 200, 0, 0]
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path takes a tenth of the time of a small picture
            content = file.read()
    except OSError as error:
        return None, f"cannot be read: {error.strerror or error}", []
    if not content:
        return None, "0 bytes", []
    try:
        if _is_heif(content) and not _reads_heif():
            return None, "a HEIC picture, which needs gpussl[heif]", []
        with _opened(io.BytesIO(content)) as image:
            if image.width * image.height > max_pixels:
                return None, f"{image.width} x {image.height} pixels, more than data.max_pixels={max_pixels}", []
            remarks = _remarks(image)
            return _pixels(image, shape, channels), "", remarks
    except UnidentifiedImageError:
        return None, "no image of a known format", []
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        return None, f"broken image ({str(error).splitlines()[0] if str(error) else type(error).__name__})", []


def picture(path: str, longest: int) -> tuple[bytes, str]:
    """Return an image file as a browser shows it: a JPEG or PNG file of at most `longest` pixels a side, and its type.

    What is in the file apart from pixels, such as a place, is left out.

    Raises
    ------
    OSError
        It cannot be read, or is no image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (4, 2), 200).save(f"{folder}/a.png")
    ...     content, media_type = picture(f"{folder}/a.png", 100)
    >>> content[:4], media_type
    (b'\x89PNG', 'image/png')
    """
    content = Path(path).read_bytes()
    if _is_heif(content):
        _reads_heif()
    try:
        with _opened(io.BytesIO(content)) as image:
            if image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise OSError(f"{image.width} x {image.height} pixels are too many")
            longer = max(image.width, image.height)
            scale = min(1.0, longest / longer)
            height, width = _upright_shape(image)
            shape = max(1, round(height * scale)), max(1, round(width * scale))
            is_photo = image.format in ("JPEG", "HEIF", "MPO") or longer > longest
            pixels = _pixels(image, shape, 3).reshape(*shape, 3)
    except OSError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for broken files
        raise OSError(str(error)) from error
    made, kind = io.BytesIO(), "jpeg" if is_photo else "png"
    Image.fromarray(pixels).save(made, kind, quality=90)
    return made.getvalue(), f"image/{kind}"


def _opened(file: Any) -> Any:
    """The image, without Pillow's check of its size, which would be an error of the run and not of one file."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def form_of(path: str) -> tuple[int, int, bool] | None:
    """Return height, width and whether there are colours, from the header of an image file; None if it has none.

    >>> form_of("missing.png") is None
    True
    """
    try:
        with Path(path).open("rb") as file:
            if _is_heif(file.read(12)):
                _reads_heif()
        with _opened(path) as image:
            height, width = _upright_shape(image)
            has_colours = image.mode not in ("1", "L", "LA", "La", *DEEP, "F")
            if image.mode == "P":
                has_colours = _has_colours(np.array(image.convert("RGB")))
            return height, width, has_colours
    except Exception:  # a broken file has no form
        return None


def _upright_shape(image: Any) -> tuple[int, int]:
    """Height and width after the camera's rotation."""
    is_turned = image.getexif().get(ROTATION, UPRIGHT) >= 5  # by a quarter
    return (image.width, image.height) if is_turned else (image.height, image.width)


def _is_heif(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in HEIF


@functools.cache
def _reads_heif() -> bool:
    """Whether Pillow reads HEIC pictures from now on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _remarks(image: Any) -> list[str]:
    remarks = []
    if getattr(image, "n_frames", 1) > 1:
        remarks.append("images with several frames, of which the first is taken")
    if image.mode in DEEP:
        remarks.append("images with 16-bit grey values, divided by 257")
    return remarks


def _pixels(image: Any, shape: tuple[int, int], channels: int) -> np.ndarray:
    mode = "L" if channels == 1 else "RGB"
    height, width = shape
    if image.format == "JPEG" and image.mode in ("L", "RGB"):
        image.draft(None, (2 * max(shape), 2 * max(shape)))  # decodes at 1/2, 1/4 or 1/8 of the size
    if image.getexif().get(ROTATION, UPRIGHT) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
    if image.mode in DEEP or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    elif image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (WHITE, WHITE, WHITE, WHITE))
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    image = image.convert(mode)
    if image.size != (width, height):
        scale = min(width / image.width, height / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        resample = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.BICUBIC
        image = image.resize(size, resample, reducing_gap=2.0 if scale < 1 else None)
        if size != (width, height):
            whole = Image.new(mode, (width, height))
            whole.paste(image, ((width - size[0]) // 2, (height - size[1]) // 2))
            image = whole
    return np.asarray(image, dtype=np.uint8).reshape(-1)


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 bits, or floating-point ones from 0 to 1 or to 255, as 8 bits."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values)
        return np.clip(np.round(values * (255 if values.max(initial=0) <= 1 else 1)), 0, 255).astype(np.uint8)
    return np.clip(np.round(values / 257), 0, 255).astype(np.uint8)


def _has_colours(pixels: np.ndarray) -> bool:
    return bool(np.any(pixels[..., 0] != pixels[..., 1]) or np.any(pixels[..., 1] != pixels[..., 2]))
