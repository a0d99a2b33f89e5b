"""A viewer of your own: print the policy's thoughts and save a frame each second.

    .venv/bin/python examples/own_viewer.py [ws://127.0.0.1:5000/stream] [FOLDER]

The WebSocket carries JSON (schemas in ``metabonk.messages``) and fragmented MP4 as binary messages.
A worker in standby sends no video; the viewer stays connected and continues once it is live again.
"""

import json
import sys
from itertools import count
from pathlib import Path

import av
from websockets.sync.client import ClientConnection, connect


class Video:
    """File-like view of one encoder's video; ends where the next encoder's begins."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.data = b""
        self.ended = False

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of MP4, and print the messages before them."""
        while not self.data and not self.ended:
            message = self.socket.recv()
            if isinstance(message, bytes):
                self.data = message
            elif (told := json.loads(message))["type"] == "epoch":
                self.ended = True
            elif told["type"] == "thought":
                print(f"action {told['action']}, value {told['value']:+.2f}", flush=True)
            elif told["type"] == "state":
                print(f"{told['state']}: {told['reason']}", flush=True)
        part, self.data = self.data[:size], self.data[size:]
        return part


def main(url: str = "ws://127.0.0.1:5000/stream", folder: str = ".") -> None:
    """Watch one worker until it is interrupted."""
    numbers = count()
    with connect(url) as socket:
        Video(socket).read(1)  # Messages up to the first epoch.
        while True:
            due = 0.0
            with av.open(Video(socket), format="mp4") as video:
                for frame in video.decode(video=0):
                    if frame.time >= due:
                        frame.to_image().save(Path(folder) / f"frame-{next(numbers)}.jpg")
                        due = frame.time + 1


if __name__ == "__main__":
    main(*sys.argv[1:])
