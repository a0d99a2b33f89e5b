"""Which GStreamer elements make a rung's pipeline, by GStreamer's version. Pure.

NVIDIA's H.264 encoder has had three names and two sets of properties (GStreamer's own pages of the
``nvcodec`` plugin, and ``gst-inspect-1.0`` of 1.22):

=========== ===================== =========================================================
version     element               properties
=========== ===================== =========================================================
1.22, 1.24  ``nvcudah264enc``     ``rate-control zero-reorder-delay b-frames``
1.22, 1.24  ``nvh264enc``, older  ``rc-mode zerolatency bframes``, no ``repeat-sequence-header``
from 1.26   ``nvh264enc``         ``rc-mode zerolatency bframes``, the older one is gone
=========== ===================== =========================================================
"""

from dataclasses import dataclass
from typing import TypeAlias

from metabonk.encoding.encoder import EncoderSettings

Version: TypeAlias = tuple[int, int]

OLDEST: Version = (1, 22)
RENAMED: Version = (1, 26)
TUNED: Version = (1, 24)

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
        properties: name and value, as ``gst-launch-1.0`` takes them.
        format: of the pictures that it is given.
        repeats_headers: whether it puts SPS and PPS in front of every IDR picture by itself.
    """

    name: str
    properties: tuple[tuple[str, object], ...]
    format: str
    repeats_headers: bool

    @property
    def launch(self) -> str:
        """As ``gst-launch-1.0`` writes it; the element is named ``encoder`` there."""
        settings = " ".join(f"{name}={value}" for name, value in self.properties)
        return f"{self.name} name=encoder {settings}"


def candidates(
    encoder: str, version: Version, settings: EncoderSettings, gpu_index: int, threads: int
) -> list[Element]:
    """The elements that may stand for ``encoder``, best first; the first that exists is used.

    Args:
        encoder: the last word of a rung.
        version: of GStreamer, major and minor.
        settings: of the stream.
        gpu_index: the GPU that NVENC encodes on.
        threads: of an encoder in software.
    """
    kbit = max(1, settings.bitrate // 1000)
    buffer_kbit = max(1, round(settings.bitrate * BUFFER_S / 1000))
    gop = settings.gop_frames
    if encoder == SOFTWARE:
        properties: tuple[tuple[str, object], ...] = (
            ("speed-preset", "ultrafast"),
            ("tune", "zerolatency"),
            ("bitrate", kbit),
            ("vbv-buf-capacity", round(BUFFER_S * 1000)),
            ("key-int-max", gop),
            ("threads", threads),
            ("byte-stream", "true"),
            ("aud", "false"),
        )
        return [Element(SOFTWARE, properties, "I420", repeats_headers=True)]
    if encoder == VA:
        properties = (
            ("bitrate", kbit),
            ("cpb-size", buffer_kbit),
            ("rate-control", "cbr"),
            ("key-int-max", gop),
            ("b-frames", 0),
            ("ref-frames", 1),
            ("target-usage", 6),
        )
        return [
            Element(name, properties, "NV12", repeats_headers=False)
            for name in (VA, "vah264lpenc")
        ]
    rate = (("bitrate", kbit), ("vbv-buffer-size", buffer_kbit), ("gop-size", gop), ("aud", "false"))
    words_1_26 = (("rc-mode", "cbr"), ("zerolatency", "true"), ("bframes", 0), ("rc-lookahead", 0))
    words_1_22 = (
        ("rate-control", "cbr"),
        ("zero-reorder-delay", "true"),
        ("b-frames", 0),
        ("rc-lookahead", 0),
    )
    tuned = (("preset", "p4"), ("tune", "ultra-low-latency"))
    repeats = (("repeat-sequence-header", "true"),)
    if version >= RENAMED:
        name = _of_gpu("nvh264", gpu_index)
        return [Element(name, (*rate, *words_1_26, *tuned, *repeats), "NV12", repeats_headers=True)]
    preset = tuned if version >= TUNED else (("preset", "p4"),)
    return [
        Element(
            _of_gpu("nvcudah264", gpu_index),
            (*rate, *words_1_22, *preset, *repeats),
            "NV12",
            repeats_headers=True,
        ),
        Element(
            _of_gpu("nvh264", gpu_index),
            (*rate, *words_1_26, ("preset", "low-latency-hq")),
            "NV12",
            repeats_headers=False,
        ),
    ]


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
        + f"{element.launch} ! {stream}{parse},alignment=au ! "
        "appsink name=sink sync=false"
    )


def _of_gpu(prefix: str, gpu_index: int) -> str:
    """The first GPU's element has no number in its name."""
    return f"{prefix}enc" if gpu_index == 0 else f"{prefix}device{gpu_index}enc"
