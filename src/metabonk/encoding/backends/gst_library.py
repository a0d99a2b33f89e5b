"""GStreamer's library through PyGObject: found, started, and its plugins loaded one by one.

Nothing scans for plugins and there is no registry file. GStreamer's scan loads every plugin of the
machine, NVIDIA's opens several encoder sessions while it is loaded, and where it can open none its
encoders stay missing from the registry for every program of the user. Here a plugin is loaded when
an encoder needs it, which is under its lease, and what came of it ends with the process.
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
from metabonk.settings.environment import keep_gstreamer_from_scanning

APT = (
    "gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"
)
"""Debian's and Ubuntu's packages of all that is used here."""


class CudaMemoryError(Exception):
    """GStreamer has no CUDA memory for a picture; says why."""


@dataclass(frozen=True, slots=True)
class Library:
    """GStreamer, started.

    Attributes:
        gst: the namespace ``Gst``.
        video: the namespace ``GstVideo``.
        c: its core library, for what the bindings would copy.
        version: major and minor.
        plugins: the folder of its plugins.
    """

    gst: Any
    video: Any
    c: ctypes.CDLL
    version: Version
    plugins: Path

    def load(self, plugins: Iterable[str]) -> None:
        """Loads plugins by name, where they aren't loaded yet.

        Raises:
            EncoderUnavailable: one is missing or can't be loaded.
        """
        for name in plugins:
            file = self.plugins / f"libgst{name}.so"
            if not file.exists():
                package = PACKAGES.get(name, "gstreamer1.0-plugins-base")
                raise EncoderUnavailable(
                    f"GStreamer's plugin {name} is missing ({file}); "
                    f"'sudo apt-get install {package}' adds it"
                )
            try:
                self.gst.Plugin.load_file(str(file))
            except glib_error() as error:
                raise EncoderUnavailable(
                    f"GStreamer can't load its plugin {name}: {error.message}"
                ) from None

    def has(self, element: str) -> bool:
        """Whether a loaded plugin has this element."""
        return self.gst.ElementFactory.find(element) is not None


@cache
def library() -> Library:
    """GStreamer, started once a process.

    Raises:
        EncoderUnavailable: it is not installed, too old, or doesn't start.
    """
    keep_gstreamer_from_scanning()
    gst, _, video = (namespace(name) for name in ("Gst", "GstApp", "GstVideo"))
    try:
        gst.init_check([])
    except glib_error() as error:
        raise EncoderUnavailable(f"GStreamer doesn't start: {error.message}") from None
    major, minor, micro, _ = gst.version()
    if (major, minor) < OLDEST:
        raise EncoderUnavailable(
            f"GStreamer {major}.{minor}.{micro} is too old: {OLDEST[0]}.{OLDEST[1]} is needed"
        )
    c = _core_library()
    return Library(gst, video, c, (major, minor), _folder_of(c))


def namespace(name: str) -> Any:
    """A namespace of GObject introspection, version 1.0.

    Raises:
        EncoderUnavailable: this machine has no description of it, or PyGObject is missing.
    """
    try:
        gi = importlib.import_module("gi")
    except ImportError:
        raise EncoderUnavailable(
            "PyGObject is not installed: pip install 'metabonk[gst]' adds it"
        ) from None
    try:
        gi.require_version(name, "1.0")
        return importlib.import_module(f"gi.repository.{name}")
    except (ValueError, ImportError) as error:
        raise EncoderUnavailable(f"{error}; 'sudo apt-get install {APT}' adds it") from None


def glib_error() -> type[Any]:
    """GLib's exception: it can only be named where PyGObject is there."""
    error: type[Any] = importlib.import_module("gi.repository.GLib").Error
    return error


def _core_library() -> ctypes.CDLL:
    # Loaded already, by the same name, through the bindings.
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


def _folder_of(c: ctypes.CDLL) -> Path:
    """Plugins lie beside the library that loads them, on every distribution."""

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
