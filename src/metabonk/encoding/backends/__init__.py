"""One module an engine; each makes encoders that satisfy ``encoding.encoder.Encoder``."""

from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.backends.gst import GstEncoder
from metabonk.encoding.encoder import Encoder, EncoderSettings


def make_encoder(backend: str, settings: EncoderSettings, ordinal: int) -> Encoder:
    """Opens an encoder session.

    Args:
        backend: of a rung of the ladder.
        settings: of the stream.
        ordinal: CUDA's number of the GPU to encode on, where the backend uses one.

    Raises:
        EncoderUnavailable: it can't be opened here and now; says why.
    """
    match backend.split(":"):
        case ["av", codec]:
            return AvEncoder(settings, codec, ordinal)
        case ["av", "cuda", codec]:
            return AvEncoder(settings, codec, ordinal, cuda=True)
        case ["gst", source, encoder]:
            return GstEncoder(settings, source, encoder, ordinal)
    raise ValueError(f"no module makes encoders of backend {backend!r}")
