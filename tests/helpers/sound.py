"""Tracks of clicks, and when they are heard."""

import av
import numpy as np
from videos import picture


def clicks(path, seconds: int = 8, fps: int = 25, rate: int = 44_100):
    """Write a video that clicks for 100 ms in the middle of every second."""
    time = np.arange(rate // 10) / rate
    tone = (np.sin(2 * np.pi * 1000 * time) * np.exp(-30 * time)).astype(np.float32)
    sound = np.zeros(seconds * rate, np.float32)
    for second in range(seconds):
        at = second * rate + rate // 2
        sound[at : at + len(tone)] = tone
    with av.open(str(path), "w") as container:
        stream, track = container.add_stream("libx264", rate=fps), container.add_stream("aac", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        share = rate // fps
        for i in range(seconds * fps):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24")))
            piece = np.ascontiguousarray(np.repeat(sound[None, i * share : (i + 1) * share], 2, axis=0))
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = rate, i * share
            container.mux(track.encode(frame))
        container.mux(stream.encode())
        container.mux(track.encode())
    return path


def onsets(sound: np.ndarray, rate: int) -> np.ndarray:
    """Return the seconds at which something begins to be heard after silence."""
    loud = np.flatnonzero(np.abs(sound) > 0.15)
    return loud[np.diff(loud, prepend=-rate) > 0.03 * rate] / rate


def click_times(path) -> np.ndarray:
    """Return when clicks are heard, in seconds after the first frame is shown."""
    with av.open(f"file:{path}") as container:
        begin = next(container.decode(video=0)).time
    with av.open(f"file:{path}") as container:
        out = np.zeros(48_000 * 20, np.float32)
        for frame in container.decode(audio=0):
            samples, at = frame.to_ndarray().astype(np.float32), round((frame.time + 1) * 48_000)
            samples = (samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T)[0]
            samples = samples / (1 if frame.format.name.startswith("flt") else 32768)
            length = round(len(samples) * 48_000 / frame.sample_rate)
            out[at : at + length] = np.interp(np.linspace(0, len(samples), length), np.arange(len(samples)), samples)
    return onsets(out, 48_000) - 1 - begin
