"""GStreamer's library through PyGObject, with its plugins loaded one by one.

There is no plugin scan and no registry file. A scan loads every plugin of the machine; NVIDIA's
opens several encoder sessions while loading, and if it gets none, its encoders stay missing from
the registry for all of the user's programs. Here a plugin is loaded when an encoder needs it, hence
under its lease, and the outcome ends with the process.
"""

import ctypes
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from metabonk.encoding.backends.gst_elements import OLDEST, PACKAGES, Version
from metabonk.errors import EncoderUnavailable
from metabonk.settings.commands import add_extra
from metabonk.settings.environment import disable_gstreamer_scan

APT = (
    "gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
)
"""Debian and Ubuntu packages of everything used here."""


class CudaMemoryError(Exception):
    """GStreamer has no CUDA memory for a frame."""


@dataclass(frozen=True, slots=True)
class Library:
    """GStreamer, initialised.

    Attributes:
        gst: the namespace ``Gst``.
        video: the namespace ``GstVideo``.
        c: its core library, for calls whose bindings would copy data.
        version: major and minor.
        plugins: folder of its plugins.
    """

    gst: Any
    video: Any
    c: ctypes.CDLL
    version: Version
    plugins: Path

    def load(self, plugins: Iterable[str]) -> None:
        """Load plugins by name, unless they are loaded already.

        Raises:
            EncoderUnavailable: one is missing or can't be loaded.
        """
        for name in plugins:
            file = self.plugins / f"libgst{name}.so"
            if not file.exists():
                package = PACKAGES.get(name, "gstreamer1.0-plugins-base")
                raise EncoderUnavailable(
                    f"GStreamer's plugin {name} is missing ({file}): "
                    f"run sudo apt-get install {package}"
                )
            try:
                self.gst.Plugin.load_file(str(file))
            except glib_error() as error:
                raise EncoderUnavailable(
                    f"GStreamer can't load its plugin {name}: {error.message}"
                ) from None

    def has(self, element: str) -> bool:
        """Tell whether a loaded plugin provides this element."""
        return self.gst.ElementFactory.find(element) is not None


@cache
def library() -> Library:
    """Return GStreamer, initialised once per process.

    Raises:
        EncoderUnavailable: it is not installed, too old, or fails to initialise.
    """
    disable_gstreamer_scan()
    gst, _, video = (namespace(name) for name in ("Gst", "GstApp", "GstVideo"))
    try:
        gst.init_check([])
    except glib_error() as error:
        raise EncoderUnavailable(f"GStreamer can't be initialised: {error.message}") from None
    major, minor, micro, _ = gst.version()
    if (major, minor) < OLDEST:
        raise EncoderUnavailable(
            f"GStreamer {major}.{minor}.{micro} is too old: {OLDEST[0]}.{OLDEST[1]} is required"
        )
    c = _core_library()
    return Library(gst, video, c, (major, minor), _plugin_folder(c))


def namespace(name: str) -> Any:
    """Import a GObject-introspection namespace, version 1.0.

    Raises:
        EncoderUnavailable: its typelib or PyGObject is missing.
    """
    try:
        gi = importlib.import_module("gi")
    except ImportError:
        raise EncoderUnavailable(f"PyGObject is not installed: run {add_extra('gst')}") from None
    try:
        gi.require_version(name, "1.0")
        return importlib.import_module(f"gi.repository.{name}")
    except (ValueError, ImportError) as error:
        raise EncoderUnavailable(f"{error}: run sudo apt-get install {APT}") from None


def glib_error() -> type[Any]:
    """Return GLib's exception class, which exists only if PyGObject is installed."""
    error: type[Any] = importlib.import_module("gi.repository.GLib").Error
    return error


def _core_library() -> ctypes.CDLL:
    # The bindings have loaded it under the same name.
    c = ctypes.CDLL("libgstreamer-1.0.so.0")
    c.gst_memory_new_wrapped.restype = ctypes.c_void_p
    c.gst_memory_new_wrapped.argtypes = (
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    c.gst_buffer_peek_memory.restype = ctypes.c_void_p
    c.gst_buffer_peek_memory.argtypes = (ctypes.c_void_p, ctypes.c_uint)
    c.gst_memory_map.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    c.gst_memory_unmap.restype = None
    c.gst_memory_unmap.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    c.gst_object_unref.restype = None
    c.gst_object_unref.argtypes = (ctypes.c_void_p,)
    c.gst_buffer_append_memory.restype = None
    c.gst_buffer_append_memory.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return c


def _plugin_folder(c: ctypes.CDLL) -> Path:
    """Return the plugin folder: beside the library itself, on every distribution."""

    class Found(ctypes.Structure):
        _fields_ = (
            ("file", ctypes.c_char_p),
            ("base", ctypes.c_void_p),
            ("symbol", ctypes.c_char_p),
            ("address", ctypes.c_void_p),
        )

    found = Found()
    ctypes.CDLL(None).dladdr(ctypes.cast(c.gst_init, ctypes.c_void_p), ctypes.byref(found))
    return Path((found.file or b"").decode()).parent / "gstreamer-1.0"
