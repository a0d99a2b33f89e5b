"""Which GStreamer elements make a rung's pipeline, by GStreamer's version. Pure.

NVIDIA's H.264 encoder has had several names and words for its properties (GStreamer's own pages of
the ``nvcodec`` plugin, and what 1.22 lists of its elements):

=========== ================== ====================================================================
version     element            words
=========== ================== ====================================================================
1.22, 1.24  ``nvcudah264enc``  ``rate-control zero-reorder-delay b-frames repeat-sequence-header``
1.22, 1.24  ``nvh264enc``      ``rc-mode zerolatency bframes``; an older encoder of the same name
from 1.26   ``nvh264enc``      ``rc-mode zerolatency bframes repeat-sequence-header``
=========== ================== ====================================================================

Besides, an element has only the properties that the card's encoder has a use for: without B-frames
there is no ``b-frames``. So all words are in one table, and those are set that an element has.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from metabonk.encoding.encoder import EncoderSettings

Version: TypeAlias = tuple[int, int]

OLDEST: Version = (1, 22)
RENAMED: Version = (1, 26)

BUFFER_S = 0.25
"""Of the rate control: as in ``backends.av``, so that both engines give streams alike."""

COLORIMETRY_RGB = "1:1:7:1"
"""sRGB: full range, no matrix, sRGB's transfer curve, BT.709's primaries (GstVideoColorimetry)."""
COLORIMETRY_YUV = "2:3:7:1"
"""The same coded as limited-range Y'CbCr with BT.709's matrix: as ``backends.av`` codes it."""

SOFTWARE, NVIDIA, VA = "x264enc", "nvh264enc", "vah264enc"

PLUGINS = {
    SOFTWARE: ("coreelements", "app", "videoconvertscale", "x264"),
    NVIDIA: ("coreelements", "app", "videoconvertscale", "videoparsersbad", "nvcodec"),
    VA: ("coreelements", "app", "videoconvertscale", "videoparsersbad", "va"),
}
"""What each encoder's pipeline is made of: names of ``libgst….so``, loaded in this order."""

PACKAGES = {"x264": "gstreamer1.0-plugins-ugly"} | dict.fromkeys(
    ("nvcodec", "va", "videoparsersbad"), "gstreamer1.0-plugins-bad"
)
"""Debian's package of a plugin, where it is not ``gstreamer1.0-plugins-base``."""


@dataclass(frozen=True, slots=True)
class Element:
    """An encoder element and how it is set.

    Attributes:
        name: of its factory.
        properties: name and value, as ``gst-launch-1.0`` takes them; for those that it has.
        format: of the pictures that it is given.
        repeats_headers: whether it puts SPS and PPS in front of every IDR picture by itself.
    """

    name: str
    properties: tuple[tuple[str, object], ...]
    format: str = "NV12"
    repeats_headers: bool = True


def candidates(
    encoder: str, version: Version, settings: EncoderSettings, ordinal: int, threads: int
) -> list[Element]:
    """The elements that may stand for ``encoder``, best first; the first that exists is used.

    Args:
        encoder: the last word of a rung.
        version: of GStreamer, major and minor.
        settings: of the stream.
        ordinal: CUDA's number of the GPU that NVENC encodes on.
        threads: of an encoder in software.
    """
    kbit = max(1, settings.bitrate // 1000)
    buffer_kbit = max(1, round(settings.bitrate * BUFFER_S / 1000))
    common: tuple[tuple[str, object], ...] = (
        ("bitrate", kbit),
        ("aud", "false"),
        ("b-frames", 0),
        ("bframes", 0),
        ("rc-lookahead", 0),
    )
    if encoder == SOFTWARE:
        software = (
            ("speed-preset", "ultrafast"),
            ("tune", "zerolatency"),
            ("bitrate", kbit),
            ("vbv-buf-capacity", round(BUFFER_S * 1000)),
            ("key-int-max", settings.gop_frames),
            ("threads", threads),
            ("byte-stream", "true"),
            ("aud", "false"),
        )
        return [Element(SOFTWARE, software, format="I420")]
    if encoder == VA:
        va = (
            ("rate-control", "cbr"),
            ("cpb-size", buffer_kbit),
            ("key-int-max", settings.gop_frames),
            ("ref-frames", 1),
            ("target-usage", 6),
        )
        names = (VA, "vah264lpenc")
        return [Element(name, (*common, *va), repeats_headers=False) for name in names]
    nvidia = (
        ("vbv-buffer-size", buffer_kbit),
        ("gop-size", settings.gop_frames),
        ("rate-control", "cbr"),
        ("rc-mode", "cbr"),
        ("zero-reorder-delay", "true"),
        ("zerolatency", "true"),
        ("repeat-sequence-header", "true"),
    )
    today = Element("", (*common, *nvidia, ("preset", "p4"), ("tune", "ultra-low-latency")))
    older = Element(
        _of_gpu("nvh264", ordinal),
        (*common, *nvidia, ("preset", "low-latency-hq")),
        repeats_headers=False,
    )
    if version >= RENAMED:
        return [replace(today, name=_of_gpu("nvh264", ordinal))]
    return [replace(today, name=_of_gpu("nvcudah264", ordinal)), older]


def pipeline(element: Element, settings: EncoderSettings, *, cuda: bool) -> str:
    """The whole pipeline, from ``source`` to ``sink``, as ``gst-launch-1.0`` writes it.

    Args:
        element: of ``candidates``.
        settings: of the stream.
        cuda: whether ``source`` is fed pictures of the stream's size and the encoder's format in
            CUDA memory; else it is fed RGB of any size in host memory.
    """
    shape = (
        f"format={element.format},width={settings.width},height={settings.height},"
        f"colorimetry={COLORIMETRY_YUV},pixel-aspect-ratio=1/1"
    )
    convert = f"videoconvertscale add-borders=false n-threads=1 ! video/x-raw,{shape}"
    stream = "video/x-h264,profile=constrained-baseline,stream-format=byte-stream"
    parse = "" if element.repeats_headers else f" ! h264parse config-interval=-1 ! {stream}"
    return (
        "appsrc name=source is-live=true format=time max-bytes=0 ! "
        + ("" if cuda else f"{convert} ! ")
        + f"{element.name} name=encoder ! {stream}{parse},alignment=au ! "
        "appsink name=sink sync=false"
    )


def cuda_caps(element: Element, settings: EncoderSettings) -> str:
    """What ``source`` says of pictures in CUDA memory; without "progressive" none is taken."""
    return (
        f"video/x-raw(memory:CUDAMemory),format={element.format},width={settings.width},"
        f"height={settings.height},framerate={settings.fps}/1,pixel-aspect-ratio=1/1,"
        f"interlace-mode=progressive,colorimetry={COLORIMETRY_YUV}"
    )


def _of_gpu(prefix: str, ordinal: int) -> str:
    """The first GPU's element has no number in its name."""
    return f"{prefix}enc" if ordinal == 0 else f"{prefix}device{ordinal}enc"
