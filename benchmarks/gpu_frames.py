"""Pictures on a GPU: are they right, do they stay there, how fast, and how many streams.

``python -m benchmarks.gpu_frames [--json FILE] [--seconds 6] [--streams 1 2 4 8]`` needs a GPU and
PyTorch with CUDA. Where GStreamer with its nvcodec plugin is there too, pictures also go through
its appsrc and its own convert-and-scale; where it isn't, the output says so.
``benchmarks/gpu_prefix.sh`` brings it along to a machine that has no packages.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor

from metabonk.encoding.backends import gst_cuda, gst_library
from metabonk.encoding.backends.av import AvEncoder
from metabonk.encoding.backends.gst_elements import NVIDIA, Element, cuda_caps
from metabonk.encoding.backends.nv12 import BLUE, GREEN, RED, Nv12
from metabonk.encoding.encoder import EncoderSettings
from metabonk.errors import EncoderUnavailable
from metabonk.frame import Frame

SOURCE = (720, 1280)
SETTINGS = EncoderSettings(width=1920, height=1080, fps=60, bitrate=8_000_000, gop_s=2.0)
ROUNDS = 300

say = Console(highlight=False, markup=False, soft_wrap=True).print


def picture(number: int) -> NDArray[np.uint8]:
    """Smooth and sharp parts that move: as a game's picture, neither flat nor noise."""
    height, width = SOURCE
    y, x = np.mgrid[0:height, 0:width]
    shift = 8 * number
    red = 128 + 100 * np.sin((x + shift) / 60)
    green = ((x + shift) // 40 + y // 40) % 2 * 180 + 30
    blue = (y * 255 // height + shift) % 256
    return np.stack([red, green, blue], 2).astype(np.uint8)


def reference(pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """The two planes of NV12 in double precision, not rounded, on the processor."""
    rgb = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).double()
    size = (SETTINGS.height, SETTINGS.width)
    rgb = torch.nn.functional.interpolate(rgb, size, mode="bilinear", align_corners=False)
    red, green, blue = rgb[0]
    y = RED * red + GREEN * green + BLUE * blue
    differences = torch.stack([(blue - y) / (2 - 2 * BLUE), (red - y) / (2 - 2 * RED)])
    halved = torch.nn.functional.avg_pool2d(differences.unsqueeze(0), 2)[0]
    chroma = (128 + 224 / 255 * halved).permute(1, 2, 0).reshape(SETTINGS.height // 2, -1)
    return 16 + 219 / 255 * y, chroma


def difference(planes: tuple[Tensor, Tensor], found: Tensor) -> dict[str, float]:
    """How far ``found``, ``height·3/2 × width`` uint8, is from the reference."""
    off = (found.cpu().double() - torch.cat(planes)).abs()
    return {
        "largest": round(off.max().item(), 3),
        "mean": round(off.mean().item(), 4),
        "beyond_one_percent": round((off > 1).double().mean().item() * 100, 4),
    }


def per_frame_ms(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of the device and of the clock that ``work`` takes, over many rounds."""
    for _ in range(20):
        work()
    torch.cuda.synchronize()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    began = time.perf_counter()
    first.record()
    for _ in range(ROUNDS):
        work()
    last.record()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - began) / ROUNDS
    return {
        "device_ms": round(first.elapsed_time(last) / ROUNDS, 4),
        "wall_ms": round(wall * 1e3, 4),
        "frames_per_s": round(1 / wall),
    }


def copies(work: Callable[[], object], rounds: int = 20) -> dict[str, float]:
    """Copies of memory between host and device, a round, as CUPTI counts them."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        for _ in range(rounds):
            work()
        torch.cuda.synchronize()
    names = [event.name for event in profile.events()]
    return {
        kind: sum(kind in name for name in names) / rounds
        for kind in ("Memcpy HtoD", "Memcpy DtoH", "Memcpy DtoD")
    } | {"kernels": sum("Memcpy" not in n and "Memset" not in n for n in names) / rounds}


def with_torch() -> dict[str, Any]:
    """PyTorch's conversion alone: from a picture on the device, and from one in host memory."""
    device = torch.device("cuda")
    nv12 = Nv12(SETTINGS.width, SETTINGS.height, device)
    out = torch.empty(SETTINGS.height * 3 // 2, SETTINGS.width, dtype=torch.uint8, device=device)
    planes = out[: SETTINGS.height], out[SETTINGS.height :]
    host = picture(3)
    there = torch.from_numpy(host).to(device)
    pinned = torch.empty(host.shape, dtype=torch.uint8, pin_memory=True)

    def convert() -> None:
        nv12.convert(there, *planes)

    def upload_and_convert() -> None:
        pinned.numpy()[...] = host
        nv12.convert(pinned.to(device, non_blocking=True), *planes)
        torch.cuda.current_stream().synchronize()

    convert()
    return {
        "pixels": difference(reference(host), out),
        "copies_of_device_frames": copies(convert),
        "copies_of_host_frames": copies(upload_and_convert),
        "device_frames": per_frame_ms(convert),
        "host_frames": per_frame_ms(upload_and_convert),
    }


class Pipeline:
    """GStreamer's side: buffers go in at ``appsrc`` and come out at ``appsink``."""

    def __init__(self, library: gst_library.Library, context: Any, caps: str, middle: str) -> None:
        gst = library.gst
        self._gst = gst
        self.made = gst.parse_launch(
            f"appsrc name=source is-live=true format=time max-bytes=0 ! {middle} ! "
            "appsink name=sink sync=false"
        )
        self.made.set_context(context)
        self.source, self.sink = self.made.get_by_name("source"), self.made.get_by_name("sink")
        self.source.set_caps(gst.Caps.from_string(caps))
        self.made.set_state(gst.State.PLAYING)
        self._number = 0

    def pass_on(self, buffer: Any) -> Any:
        """The buffer that comes out for this one."""
        buffer.pts = self._number * 16_666_667
        self._number += 1
        self.source.push_buffer(buffer)
        sample = self.sink.try_pull_sample(5 * self._gst.SECOND)
        if sample is None:
            message = self.made.get_bus().pop_filtered(self._gst.MessageType.ERROR)
            said = message.parse_error() if message else "nothing came out for 5 s"
            raise EncoderUnavailable(f"GStreamer's pipeline failed: {said}")
        return sample.get_buffer()

    def close(self) -> None:
        self.made.set_state(self._gst.State.NULL)


def with_gstreamer() -> dict[str, Any]:
    """CUDA pictures through GStreamer: ours into its memory, and its own convert-and-scale.

    Raises:
        EncoderUnavailable: it isn't there, or has no CUDA.
    """
    library = gst_library.library()
    library.load(("coreelements", "app", "nvcodec"))
    wanted = ("cudadownload", "cudaconvertscale", "nvcudah264enc", "nvh264enc", "nvjpegenc")
    said: dict[str, Any] = {
        "version": ".".join(map(str, library.version)),
        "elements": {name: library.has(name) for name in wanted},
    }
    host = picture(3)
    there = torch.from_numpy(host).cuda()
    nv12 = Element(NVIDIA, ())
    caps = cuda_caps(nv12, SETTINGS)
    frames = gst_cuda.CudaBuffers(library, SETTINGS, caps, 0)

    def measure(name: str, middle: str, caps: str, buffer: Callable[[], Any]) -> None:
        try:
            stays = Pipeline(library, frames.context, caps, middle)
            proof = Pipeline(
                library, frames.context, caps, f"{middle} ! cudadownload ! {nv12_raw()}"
            )
            came = proof.pass_on(buffer())
            data = np.frombuffer(came.extract_dup(0, came.get_size()), np.uint8)
            found = torch.from_numpy(data.reshape(SETTINGS.height * 3 // 2, -1).copy())
            said[name] = {
                "pixels": difference(reference(host), found[:, : SETTINGS.width]),
                "copies": copies(lambda: stays.pass_on(buffer())),
                **per_frame_ms(lambda: stays.pass_on(buffer())),
            }
            stays.close()
            proof.close()
        except EncoderUnavailable as error:
            said[name] = str(error)

    measure("torch_into_gstreamer", "identity", caps, lambda: frames.buffer(Frame(there, 0.0)))
    if said["elements"]["cudaconvertscale"]:
        rgb, make = rgb_buffers(library, frames, there)
        to_nv12 = f"cudaconvertscale ! {caps}"
        measure("gstreamers_convert_and_scale", to_nv12, rgb, make)
    else:
        said["gstreamers_convert_and_scale"] = (
            "GStreamer has no cudaconvertscale: it finds no libnvrtc.so, or one that no longer "
            "compiles for what it asks for (1.22: compute_52, which ends with CUDA 12)"
        )
    return said


def nv12_raw() -> str:
    return f"video/x-raw,format=NV12,width={SETTINGS.width},height={SETTINGS.height}"


def rgb_buffers(
    library: gst_library.Library, frames: gst_cuda.CudaBuffers, pixels: Tensor
) -> tuple[str, Callable[[], Any]]:
    """Caps and a maker of buffers that hold RGB of the source's size in CUDA memory."""
    height, width = SOURCE
    caps = (
        f"video/x-raw(memory:CUDAMemory),format=RGBA,width={width},height={height},"
        "framerate=60/1,interlace-mode=progressive,colorimetry=1:1:7:1"
    )
    opaque = torch.full((height, width, 1), 255, dtype=torch.uint8, device="cuda")
    rgba = torch.cat([pixels, opaque], 2).view(height, width * 4)
    pool = frames.make_pool(caps, width * height * 4)

    def make() -> Any:
        _, buffer = pool.acquire_buffer(None)
        with frames.mapped(buffer) as (address, meta):
            plane = frames.plane(address, height, width * 4, meta.stride[0])
            plane.copy_(rgba)
            torch.cuda.current_stream().synchronize()
        return buffer

    return caps, make


def stream(way: str, seconds: float, ready: Barrier, results: Any) -> None:
    """One stream at 1080p60 from 720p pictures, encoded by libx264; a process."""
    encoder = AvEncoder(SETTINGS, "libx264")
    pictures = [picture(number) for number in range(24)]
    convert = download() if way == "gpu" else None
    context = encoder._context
    assert context is not None
    ready.wait()
    began, used = time.monotonic(), cpu_s()
    done, due = 0, began
    while (now := time.monotonic()) < began + seconds:
        if now < due:
            time.sleep(due - now)
        due += 1 / SETTINGS.fps
        pixels = pictures[done % len(pictures)]
        if convert is None:
            encoder.encode(Frame(pixels, due), keyframe=False)
        else:
            frame = convert(pixels)
            frame.pts = round(due * 90_000)
            frame.time_base = context.time_base
            context.encode(frame)
        done += 1
    took = time.monotonic() - began
    results.put((done / took, (cpu_s() - used) / took))


def download() -> Callable[[NDArray[np.uint8]], VideoFrame]:
    """Converts and scales on the GPU, and takes the result back into host memory."""
    device = torch.device("cuda")
    nv12 = Nv12(SETTINGS.width, SETTINGS.height, device)
    rows = SETTINGS.height * 3 // 2
    out = torch.empty(rows, SETTINGS.width, dtype=torch.uint8, device=device)
    back = torch.empty(rows, SETTINGS.width, dtype=torch.uint8, pin_memory=True)
    pinned = torch.empty(*SOURCE, 3, dtype=torch.uint8, pin_memory=True)

    def convert(pixels: NDArray[np.uint8]) -> VideoFrame:
        pinned.numpy()[...] = pixels
        there = pinned.to(device, non_blocking=True)
        nv12.convert(there, out[: SETTINGS.height], out[SETTINGS.height :])
        back.copy_(out, non_blocking=True)
        torch.cuda.current_stream().synchronize()
        made = VideoFrame.from_ndarray(back.numpy(), format="nv12")
        return made.reformat(format="yuv420p")

    return convert


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def end_to_end(seconds: float, way: str, counts: list[int]) -> list[dict[str, float]]:
    """What so many processes at once achieve, each paced at 60 frames a second."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for count in counts:
        ready, results = context.Barrier(count), context.Queue()
        processes = [
            context.Process(target=stream, args=(way, seconds, ready, results), daemon=True)
            for _ in range(count)
        ]
        for process in processes:
            process.start()
        answers = [results.get(timeout=120 + seconds) for _ in processes]
        for process in processes:
            process.join()
        rates = [rate for rate, _ in answers]
        row = {
            "streams": count,
            "slowest_fps": round(min(rates), 1),
            "all_fps": round(sum(rates), 1),
            "cores": round(sum(cores for _, cores in answers), 2),
        }
        say(f"{way}: {row}")
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args()
    there = torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if there else "no GPU"
    machine = (
        f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    figures: dict[str, Any] = {"machine": f"{machine}, {gpu}"}
    say(figures["machine"])
    if there:
        figures["torch"] = with_torch()
        say(f"torch: {json.dumps(figures['torch'], indent=1)}")
        try:
            figures["gstreamer"] = with_gstreamer()
        except EncoderUnavailable as error:
            figures["gstreamer"] = str(error)
        say(f"gstreamer: {json.dumps(figures['gstreamer'], indent=1)}")
    for way in ("cpu", "gpu") if there else ("cpu",):
        figures[f"libx264_{way}"] = end_to_end(arguments.seconds, way, arguments.streams)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
