"""Encoders, one module per engine; each satisfies ``encoding.encoder.Encoder``.

``av``            FFmpeg through PyAV; ``av_cuda`` converts its frames on the GPU
``gst``           GStreamer through PyGObject; ``gst_cuda`` converts its frames on the GPU
``gst_elements``  GStreamer elements and properties, by version
``gst_library``   GStreamer's library and plugins
``nv12``          RGB to NV12 in PyTorch
"""

from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.backends.gst import GstEncoder
from metabonk.encoding.encoder import Encoder, EncoderSettings


def make_encoder(backend: str, settings: EncoderSettings, ordinal: int) -> Encoder:
    """Open an encoder session.

    Args:
        backend: of a rung of the ladder.
        settings: of the stream.
        ordinal: CUDA's index of the GPU that encodes; ignored in software.

    Raises:
        EncoderUnavailable: it can't be opened here and now.
    """
    match backend.split(":"):
        case ["av", codec]:
            return AvEncoder(settings, codec, ordinal)
        case ["av", "cuda", codec]:
            return AvEncoder(settings, codec, ordinal, cuda=True)
        case ["gst", source, encoder]:
            return GstEncoder(settings, source, encoder, ordinal)
    raise ValueError(f"no module makes encoders of backend {backend!r}")
