"""Conversion of frames on a GPU: accuracy, copies, speed and number of streams.

``python -m benchmarks.gpu_frames [--json FILE] [--seconds 6] [--streams 1 2 4 8]`` needs a GPU and
PyTorch with CUDA. It prints the error against a reference, copies between host and device,
milliseconds per frame and the rate of concurrent streams. If GStreamer with its nvcodec plugin is
installed, frames also go through its appsrc and its own converter; ``benchmarks/gpu_prefix.sh``
prepares GStreamer for a machine without packages.
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

print_line = Console(highlight=False, markup=False, soft_wrap=True).print


def draw(number: int) -> NDArray[np.uint8]:
    """Return a moving frame with smooth and sharp parts, as a game's: neither flat nor noise."""
    height, width = SOURCE
    y, x = np.mgrid[0:height, 0:width]
    shift = 8 * number
    red = 128 + 100 * np.sin((x + shift) / 60)
    green = ((x + shift) // 40 + y // 40) % 2 * 180 + 30
    blue = (y * 255 // height + shift) % 256
    return np.stack([red, green, blue], 2).astype(np.uint8)


def reference(pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Return the two planes of NV12 in double precision, unrounded, computed on the CPU."""
    rgb = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).double()
    size = (SETTINGS.height, SETTINGS.width)
    rgb = torch.nn.functional.interpolate(rgb, size, mode="bilinear", align_corners=False)
    red, green, blue = rgb[0]
    y = RED * red + GREEN * green + BLUE * blue
    differences = torch.stack([(blue - y) / (2 - 2 * BLUE), (red - y) / (2 - 2 * RED)])
    halved = torch.nn.functional.avg_pool2d(differences.unsqueeze(0), 2)[0]
    chroma = (128 + 224 / 255 * halved).permute(1, 2, 0).reshape(SETTINGS.height // 2, -1)
    return 16 + 219 / 255 * y, chroma


def difference(planes: tuple[Tensor, Tensor], actual: Tensor) -> dict[str, float]:
    """Compare ``actual``, ``height·3/2 × width`` uint8, with the reference."""
    error = (actual.cpu().double() - torch.cat(planes)).abs()
    return {
        "largest": round(error.max().item(), 3),
        "mean": round(error.mean().item(), 4),
        "beyond_one_percent": round((error > 1).double().mean().item() * 100, 4),
    }


def per_frame_ms(work: Callable[[], object]) -> dict[str, float]:
    """Return device and wall-clock milliseconds of ``work``, means over many rounds."""
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
    """Count memory copies between host and device per round, by CUPTI."""
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
    """Measure PyTorch's conversion of a frame on the device and of one in host memory."""
    device = torch.device("cuda")
    nv12 = Nv12(SETTINGS.width, SETTINGS.height, device)
    out = torch.empty(SETTINGS.height * 3 // 2, SETTINGS.width, dtype=torch.uint8, device=device)
    planes = out[: SETTINGS.height], out[SETTINGS.height :]
    host = draw(3)
    on_device = torch.from_numpy(host).to(device)
    pinned = torch.empty(host.shape, dtype=torch.uint8, pin_memory=True)

    def convert() -> None:
        nv12.convert(on_device, *planes)

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
    """GStreamer pipeline from ``appsrc`` to ``appsink``."""

    def __init__(self, library: gst_library.Library, context: Any, caps: str, middle: str) -> None:
        gst = library.gst
        self._gst = gst
        self.pipeline = gst.parse_launch(
            f"appsrc name=source is-live=true format=time max-bytes=0 ! {middle} ! "
            "appsink name=sink sync=false"
        )
        self.pipeline.set_context(context)
        self.source, self.sink = (
            self.pipeline.get_by_name("source"),
            self.pipeline.get_by_name("sink"),
        )
        self.source.set_caps(gst.Caps.from_string(caps))
        self.pipeline.set_state(gst.State.PLAYING)
        self._number = 0

    def pass_on(self, buffer: Any) -> Any:
        """Push a buffer and return the one that comes out."""
        buffer.pts = self._number * 16_666_667
        self._number += 1
        self.source.push_buffer(buffer)
        sample = self.sink.try_pull_sample(5 * self._gst.SECOND)
        if sample is None:
            message = self.pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
            reason = message.parse_error() if message else "no output for 5 s"
            raise EncoderUnavailable(f"GStreamer's pipeline failed: {reason}")
        return sample.get_buffer()

    def close(self) -> None:
        self.pipeline.set_state(self._gst.State.NULL)


def with_gstreamer() -> dict[str, Any]:
    """Measure CUDA frames through GStreamer: converted by PyTorch, and by its own converter.

    Raises:
        EncoderUnavailable: GStreamer is missing or has no CUDA.
    """
    library = gst_library.library()
    library.load(("coreelements", "app", "nvcodec"))
    elements = ("cudadownload", "cudaconvertscale", "nvcudah264enc", "nvh264enc", "nvjpegenc")
    result: dict[str, Any] = {
        "version": ".".join(map(str, library.version)),
        "elements": {name: library.has(name) for name in elements},
    }
    host = draw(3)
    on_device = torch.from_numpy(host).cuda()
    nv12 = Element(NVIDIA, ())
    caps = cuda_caps(nv12, SETTINGS)
    frames = gst_cuda.CudaBuffers(library, SETTINGS, caps, 0)

    def measure(name: str, middle: str, caps: str, buffer: Callable[[], Any]) -> None:
        try:
            on_gpu = Pipeline(library, frames.context, caps, middle)
            download = Pipeline(
                library, frames.context, caps, f"{middle} ! cudadownload ! {nv12_raw()}"
            )
            output = download.pass_on(buffer())
            data = np.frombuffer(output.extract_dup(0, output.get_size()), np.uint8)
            actual = torch.from_numpy(data.reshape(SETTINGS.height * 3 // 2, -1).copy())
            result[name] = {
                "pixels": difference(reference(host), actual[:, : SETTINGS.width]),
                "copies": copies(lambda: on_gpu.pass_on(buffer())),
                **per_frame_ms(lambda: on_gpu.pass_on(buffer())),
            }
            on_gpu.close()
            download.close()
        except EncoderUnavailable as error:
            result[name] = str(error)

    measure("torch_into_gstreamer", "identity", caps, lambda: frames.buffer(Frame(on_device, 0.0)))
    if result["elements"]["cudaconvertscale"]:
        rgb, make = rgb_buffers(library, frames, on_device)
        to_nv12 = f"cudaconvertscale ! {caps}"
        measure("gstreamers_convert_and_scale", to_nv12, rgb, make)
    else:
        result["gstreamers_convert_and_scale"] = (
            "GStreamer has no cudaconvertscale: libnvrtc.so is missing, or no longer compiles "
            "for what it requests (1.22: compute_52, which ends with CUDA 12)"
        )
    return result


def nv12_raw() -> str:
    return f"video/x-raw,format=NV12,width={SETTINGS.width},height={SETTINGS.height}"


def rgb_buffers(
    library: gst_library.Library, frames: gst_cuda.CudaBuffers, pixels: Tensor
) -> tuple[str, Callable[[], Any]]:
    """Return caps and a factory of buffers with RGB of the source's size in CUDA memory."""
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


def stream(device: str, seconds: float, ready: Barrier, results: Any) -> None:
    """Encode one stream at 1080p60 from 720p frames with libx264; runs in a process."""
    encoder = AvEncoder(SETTINGS, "libx264")
    images = [draw(number) for number in range(24)]
    convert = make_converter() if device == "gpu" else None
    context = encoder._context
    assert context is not None
    ready.wait()
    began, used = time.monotonic(), cpu_s()
    count, due = 0, began
    while (now := time.monotonic()) < began + seconds:
        if now < due:
            time.sleep(due - now)
        due += 1 / SETTINGS.fps
        pixels = images[count % len(images)]
        if convert is None:
            encoder.encode(Frame(pixels, due), keyframe=False)
        else:
            frame = convert(pixels)
            frame.pts = round(due * 90_000)
            frame.time_base = context.time_base
            context.encode(frame)
        count += 1
    elapsed = time.monotonic() - began
    results.put((count / elapsed, (cpu_s() - used) / elapsed))


def make_converter() -> Callable[[NDArray[np.uint8]], VideoFrame]:
    """Return a function that converts and scales on the GPU and downloads the result."""
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


def end_to_end(seconds: float, device: str, counts: list[int]) -> list[dict[str, float]]:
    """Measure concurrent processes, each paced at 60 frames a second."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for count in counts:
        ready, results = context.Barrier(count), context.Queue()
        processes = [
            context.Process(target=stream, args=(device, seconds, ready, results), daemon=True)
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
        print_line(f"{device}: {row}")
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    gpu = torch.cuda.get_device_name() if has_gpu else "no GPU"
    machine = (
        f"{platform.platform()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    results: dict[str, Any] = {"machine": f"{machine}, {gpu}"}
    print_line(results["machine"])
    if has_gpu:
        results["torch"] = with_torch()
        print_line(f"torch: {json.dumps(results['torch'], indent=1)}")
        try:
            results["gstreamer"] = with_gstreamer()
        except EncoderUnavailable as error:
            results["gstreamer"] = str(error)
        print_line(f"gstreamer: {json.dumps(results['gstreamer'], indent=1)}")
    for device in ("cpu", "gpu") if has_gpu else ("cpu",):
        results[f"libx264_{device}"] = end_to_end(arguments.seconds, device, arguments.streams)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
