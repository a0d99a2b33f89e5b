"""The program in a format of FFmpeg's, with silence for sound; nothing is encoded but that."""

import io
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer

from metabonk.air.target import Target
from metabonk.encoding.access_unit import TIMESCALE
from metabonk.streaming.fmp4 import length_prefixed, length_prefixed_units
from metabonk.streaming.gop import Epoch, Fragment
from metabonk.streaming.muxer import ViewerClock

TIME_BASE = Fraction(1, TIMESCALE)
MILLISECOND = TIMESCALE // 1000
"""In which FLV counts."""

SAMPLE_RATE = 44_100
SAMPLES = 1024
"""In a frame of AAC (ISO/IEC 14496-3, 4.5.1.1)."""

SEGMENT_S, SEGMENTS = 2, 8
OPTIONS = {
    "flv": {
        # The end and the size of a live stream are not known.
        "flvflags": "no_duration_filesize"
    },
    "hls": {
        "hls_time": str(SEGMENT_S),
        "hls_list_size": str(SEGMENTS),
        # A restart goes on in the same playlist.
        "hls_flags": "delete_segments+independent_segments+append_list+omit_endlist+temp_file",
    },
}


class Output:
    """One file or connection, from a keyframe on.

    What it does may block for as long as the other side likes.

    Args:
        target: where to.
        epoch: of the first frame.

    Raises:
        av.FFmpegError: it can't be opened.
        OSError: its folder can't be made.
    """

    def __init__(self, target: Target, epoch: Epoch) -> None:
        if target.format == "hls":
            Path(target.address).parent.mkdir(parents=True, exist_ok=True)
        self._container: OutputContainer = av.open(
            target.address, "w", format=target.format, options=OPTIONS[target.format]
        )
        # The format of the coded video comes with an init segment, which FFmpeg reads as any file.
        with av.open(io.BytesIO(epoch.init), format="mp4") as template:
            self._video = self._container.add_stream_from_template(
                template.streams.video[0], opaque=True
            )
        self._video.time_base = TIME_BASE
        sound = self._container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
        assert isinstance(sound, AudioStream)
        self._sound = sound
        self._samples = 0
        self._epoch = epoch
        self._clock = ViewerClock()
        self._time = -MILLISECOND

    def begin(self, epoch: Epoch) -> None:
        """Start another epoch; its parameter sets come with its keyframes."""
        self._epoch = epoch
        self._clock.begin_epoch()

    def send(self, fragment: Fragment) -> None:
        """Send a frame, and the silence up to it.

        Raises:
            av.FFmpegError: the other side takes no more.
        """
        self._time = time = max(self._clock.at(fragment), self._time + MILLISECOND)
        while self._samples * TIMESCALE <= time * SAMPLE_RATE:
            self._container.mux(self._sound.encode(self._silence()))
        packet = av.Packet(self._sample(fragment))
        packet.pts = packet.dts = time
        packet.time_base = TIME_BASE
        packet.stream = self._video
        packet.is_keyframe = fragment.keyframe
        self._container.mux(packet)

    def close(self) -> None:
        """End it properly.

        Raises:
            av.FFmpegError: the other side is gone.
        """
        self._container.close()

    def _sample(self, fragment: Fragment) -> bytes:
        sample = length_prefixed(fragment.unit.data)
        if not fragment.keyframe:
            return sample
        parameters = self._epoch.parameters
        return length_prefixed_units(parameters.sequence, parameters.picture) + sample

    def _silence(self) -> AudioFrame:
        frame = AudioFrame(format="fltp", layout="stereo", samples=SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = self._samples, Fraction(1, SAMPLE_RATE)
        self._samples += SAMPLES
        return frame
