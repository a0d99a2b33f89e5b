"""GStreamer pipelines of each rung, by GStreamer's version. Pure.

NVIDIA's H.264 encoder and its properties have had several names (GStreamer's documentation of the
``nvcodec`` plugin, and the elements as 1.22 lists them):

=========== ================== ====================================================================
version     element            properties
=========== ================== ====================================================================
1.22, 1.24  ``nvcudah264enc``  ``rate-control zero-reorder-delay b-frames repeat-sequence-header``
1.22, 1.24  ``nvh264enc``      ``rc-mode zerolatency bframes``; an older encoder of that name
from 1.26   ``nvh264enc``      ``rc-mode zerolatency bframes repeat-sequence-header``
=========== ================== ====================================================================

An element also lacks properties that the card's encoder can't use: without B-frames there is no
``b-frames``. So one table holds all names, and only those that an element has are set.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

from metabonk.encoding.encoder import BUFFER_S, EncoderSettings

Version: TypeAlias = tuple[int, int]

OLDEST: Version = (1, 22)
RENAMED: Version = (1, 26)

COLORIMETRY_RGB = "1:1:7:1"
"""sRGB: full range, no matrix, sRGB's transfer curve, BT.709's primaries (GstVideoColorimetry)."""
COLORIMETRY_YUV = "2:3:7:1"
"""The same as limited-range Y'CbCr with BT.709's matrix, as ``backends.av`` codes it."""

SOFTWARE, NVIDIA, VA = "x264enc", "nvh264enc", "vah264enc"

PLUGINS = {
    SOFTWARE: ("coreelements", "app", "videoconvertscale", "x264"),
    NVIDIA: ("coreelements", "app", "videoconvertscale", "videoparsersbad", "nvcodec"),
    VA: ("coreelements", "app", "videoconvertscale", "videoparsersbad", "va"),
}
"""Plugins of each encoder's pipeline, in loading order: the names in ``libgst….so``."""

PACKAGES = {"x264": "gstreamer1.0-plugins-ugly"} | dict.fromkeys(
    ("nvcodec", "va", "videoparsersbad"), "gstreamer1.0-plugins-bad"
)
"""Debian package of a plugin, if not ``gstreamer1.0-plugins-base``."""


@dataclass(frozen=True, slots=True)
class Element:
    """An encoder element and its properties.

    Attributes:
        name: of its factory.
        properties: names and values in ``gst-launch-1.0``'s syntax; set if the element has them.
        format: pixel format of its input.
        repeats_headers: True if it puts SPS and PPS before every IDR picture by itself.
    """

    name: str
    properties: tuple[tuple[str, object], ...]
    format: str = "NV12"
    repeats_headers: bool = True


def candidates(
    encoder: str, version: Version, settings: EncoderSettings, ordinal: int, threads: int
) -> list[Element]:
    """Return the elements that implement ``encoder``, best first; the first that exists is used.

    Args:
        encoder: the last part of a rung's backend.
        version: of GStreamer, major and minor.
        settings: of the stream.
        ordinal: CUDA's index of the GPU that NVENC encodes on.
        threads: of a software encoder.
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
    current = Element("", (*common, *nvidia, ("preset", "p4"), ("tune", "ultra-low-latency")))
    legacy = Element(
        _element_name("nvh264", ordinal),
        (*common, *nvidia, ("preset", "low-latency-hq")),
        repeats_headers=False,
    )
    if version >= RENAMED:
        return [replace(current, name=_element_name("nvh264", ordinal))]
    return [replace(current, name=_element_name("nvcudah264", ordinal)), legacy]


def pipeline(element: Element, settings: EncoderSettings, *, cuda: bool) -> str:
    """Return the pipeline from ``source`` to ``sink``, in ``gst-launch-1.0``'s syntax.

    Args:
        element: one of ``candidates``.
        settings: of the stream.
        cuda: ``source`` receives frames of the stream's size and the encoder's format in CUDA
            memory, instead of RGB of any size in host memory.
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
    """Return the caps of ``source`` in CUDA memory; it accepts none without "progressive"."""
    return (
        f"video/x-raw(memory:CUDAMemory),format={element.format},width={settings.width},"
        f"height={settings.height},framerate={settings.fps}/1,pixel-aspect-ratio=1/1,"
        f"interlace-mode=progressive,colorimetry={COLORIMETRY_YUV}"
    )


def _element_name(prefix: str, ordinal: int) -> str:
    """Return the element name for a GPU; the first one's has no number."""
    return f"{prefix}enc" if ordinal == 0 else f"{prefix}device{ordinal}enc"
