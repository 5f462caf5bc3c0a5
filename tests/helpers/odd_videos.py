"""200 odd and damaged videos, drawn by a script from a seed: containers, codecs, rates, depths, cuts.

`python tests/helpers/odd_videos.py FOLDER [SEED]` writes them to be looked at.
"""

import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

TOTAL = 270
COUNT = 24
SIZE = (48, 64)  # height, width
RATE = Fraction(25)


@dataclass(frozen=True)
class Odd:
    """A file: `write(path, seed)` makes it; a whole one must be read, a damaged one may be named as left out."""

    name: str
    write: Callable[[Path, int], None]
    whole: bool = True


def picture(i: int, seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return frame i as RGB (H, W, 3): smooth colours of the seed's that drift, and a square that moves."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    image = np.stack([127 + 90 * np.sin(x / 9 + y / 7 * (c - 1) + i / 5 + phase[c]) for c in range(3)], axis=2)
    left, top = (3 * i) % (width - 12), (2 * i) % (height - 12)
    image[top : top + 12, left : left + 12] = (255, 40 * (i % 6), 0)
    return image.astype(np.uint8)


def packets_of(
    codec: str,
    seed: int,
    *,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    times: Iterable[int] = range(COUNT),
    rate: Fraction = RATE,
    options: dict | None = None,
    stream=None,
    prepare: Callable | None = None,
) -> Iterator[av.Packet]:
    """Encode pictures and yield their packets, with a stream of a container or with a codec alone."""
    context = stream.codec_context if stream else av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = size[1], size[0], pixels
    context.options = options or {}
    context.time_base = 1 / rate
    if not stream:
        context.framerate = rate
    if prepare:
        prepare(context)
    for i, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(picture(i, seed, size), format="rgb24").reformat(format=pixels)
        frame.pts, frame.time_base = time, 1 / rate
        yield from context.encode(frame)
    yield from context.encode(None)


def film(codec: str, container: str | None = None, muxing: dict | None = None, **settings) -> Callable:
    """Return a writer of a film as `packets_of` encodes it."""

    def write(path: Path, seed: int) -> None:
        with av.open(str(path), "w", format=container, options=muxing or {}) as out:
            stream = out.add_stream(codec, rate=settings.get("rate", RATE))
            for packet in packets_of(codec, seed, stream=stream, **settings):
                out.mux(packet)

    return write


def x264(distance: int = 10, b_frames: int = 2, extra: str = "") -> dict:
    text = f"keyint={distance}:min-keyint={distance}:scenecut=0:bframes={b_frames}:b-adapt=0:log-level=-1{extra}"
    return {"x264-params": text, "preset": "ultrafast"}


H264 = {"options": x264()}
HEVC = {"options": {"x265-params": "log-level=none:keyint=10:bframes=3", "preset": "ultrafast"}}
VP9 = {"options": {"deadline": "realtime", "cpu-used": "8", "g": "8"}}
GOPS = {"options": {"g": "8", "bf": "2"}}


def chunks_in_avi(change: Callable[[list[bytes]], list[bytes]], codec: str = "mpeg4", **settings) -> Callable:
    """Return a writer of an AVI whose chunks, in the order of decoding, are those that `change` returns."""

    def write(path: Path, seed: int) -> None:
        packets = list(packets_of(codec, seed, **settings))
        with av.open(str(path), "w") as out:
            stream = out.add_stream(codec, rate=RATE)
            stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "yuv420p"
            stream.codec_context.codec_tag = "XVID" if codec == "mpeg4" else "H264"
            for i, data in enumerate(change([bytes(packet) for packet in packets])):
                if not data:
                    continue
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.pts, packet.dts = stream, 1 / RATE, i, i
                packet.is_keyframe = _coding(data) == 0
                out.mux(packet)

    return write


VOP = b"\x00\x00\x01\xb6"
PLACE_HOLDER = VOP + b"\x51\x00\x7f"  # a P-frame that says that it is not coded


def _coding(data: bytes) -> int:
    """Return how an MPEG-4 frame is coded: 0 for I, 1 for P, 2 for B."""
    at = data.find(VOP)
    return data[at + 4] >> 6 if 0 <= at < len(data) - 4 else -1


def packed(chunks: list[bytes], mark: bytes = b"DivX503b1393p") -> list[bytes]:
    """Return chunks as XviD packs them: a frame and the B-frame after it in one, a place holder instead of the other."""
    out, i = [], 0
    while i < len(chunks):
        data = chunks[i]
        if _coding(data) == 0:
            at = data.find(VOP)
            data = data[:at] + b"\x00\x00\x01\xb2" + mark + data[at:]
        i += 1
        if _coding(data) != 2 and i < len(chunks) and _coding(chunks[i]) == 2:
            out.append(data + chunks[i])
            i += 1
            while i < len(chunks) and _coding(chunks[i]) == 2:
                out.append(chunks[i])
                i += 1
            out.append(PLACE_HOLDER)
        else:
            out.append(data)
    return out


def lagging(chunks: list[bytes]) -> list[bytes]:
    """Return chunks as a Video-for-Windows encoder with a delay leaves them: empty ones behind the first."""
    return [chunks[0], b"", b"", *packed(chunks)[1:]]


def with_still(chunks: list[bytes]) -> list[bytes]:
    """Return chunks with one more, after every sixth, that says that nothing changed."""
    return [each for i, data in enumerate(chunks) for each in ([data, PLACE_HOLDER] if i % 6 == 5 else [data])]


def with_gaps(chunks: list[bytes]) -> list[bytes]:
    """Return chunks with an empty one, which AVI has for a frame that was dropped, after every sixth."""
    return [each for i, data in enumerate(chunks) for each in ([data, b""] if i % 6 == 5 else [data])]


def joined(*writers: Callable) -> Callable:
    """Return a writer of several files' bytes, one after the other."""

    def write(path: Path, seed: int) -> None:
        data = b""
        for i, each in enumerate(writers):
            each(path, seed + i)
            data += path.read_bytes()
        path.write_bytes(data)

    return write


def patched(write_first: Callable, change: Callable[[bytearray], None]) -> Callable:
    """Return a writer of a file whose bytes are changed afterwards."""

    def write(path: Path, seed: int) -> None:
        write_first(path, seed)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)

    return write


def matrix(a: int, b: int, c: int, d: int) -> Callable[[bytearray], None]:
    """Return what gives an MP4 a display matrix."""

    def change(data: bytearray) -> None:
        at = data.index(b"tkhd") + 4 + 4 + 20 + 16
        data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)

    return change


def begins_later(data: bytearray) -> None:
    """Let an MP4's edit list begin seven frames into its media."""
    at = data.index(b"elst") + 12
    (begin,) = struct.unpack(">i", data[at + 4 : at + 8])
    scale = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0]
    data[at + 4 : at + 8] = struct.pack(">i", begin + 7 * scale // 25)


def wrong_rate(data: bytearray) -> None:
    """Let an AVI's main header state a frame a second."""
    at = data.index(b"avih") + 8
    data[at : at + 4] = struct.pack("<I", 1_000_000)


def hidden_frames(path: Path, seed: int) -> None:
    """VP8 with frames, each fifth, that are decoded and not shown."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx", rate=RATE)
        for i, packet in enumerate(list(packets_of("libvpx", seed, stream=stream, **VP9))):
            if i % 5 == 4:
                data = bytes(packet)
                hidden = av.Packet(bytes([data[0] & ~0x10]) + data[1:])
                hidden.stream, hidden.time_base = stream, packet.time_base * Fraction(1, 10)
                hidden.pts = hidden.dts = 10 * packet.pts - 5
                out.mux(hidden)
            out.mux(packet)


def two_films(path: Path, seed: int) -> None:
    """Two video streams of different sizes."""
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=RATE) for _ in range(2)]
        for stream, size in zip(streams, (SIZE, (96, 128)), strict=True):
            stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        made = [
            list(packets_of("mpeg4", seed, stream=stream, size=(stream.height, stream.width))) for stream in streams
        ]
        for packet in sorted(made[0] + made[1], key=lambda packet: packet.dts):
            out.mux(packet)


def coloured(trc: int, matrix: int, full: bool = False) -> Callable:
    """Return what tags an encoder's colours."""

    def prepare(context) -> None:
        context.color_trc, context.colorspace, context.color_range = trc, matrix, 2 if full else 1
        context.color_primaries = 9 if matrix == 9 else 1

    return prepare


def wide_pixels(context) -> None:
    context.sample_aspect_ratio = Fraction(2, 1)


PAUSES = [*range(8), *range(30, 38), *range(90, 98)]
DOUBLED = [0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 5000, 5001]

WHOLE: dict[str, Callable] = {
    # Every container that FFmpeg writes, with what is common in it.
    **{f"h264.{e}": film("libx264", **H264) for e in ("mp4", "mov", "mkv", "ts", "m2ts", "mts", "avi", "flv", "f4v")},
    **{f"h264.{e}": film("libx264", **H264) for e in ("3gp", "3g2", "m4v", "nut", "asf", "wtv", "mxf", "h264", "264")},
    "h264_vob.vob": film("libx264", **H264),
    **{f"hevc.{e}": film("libx265", **HEVC) for e in ("mp4", "mkv", "ts", "hevc", "265", "flv", "nut")},
    **{
        f"mpeg2.{e}": film("mpeg2video", **GOPS) for e in ("mpg", "vob", "ts", "mkv", "mp4", "avi", "m2v", "mxf", "nut")
    },
    "mpeg2_svcd.mpg": film("mpeg2video", "svcd", **GOPS),
    **{f"mpeg1.{e}": film("mpeg1video", **GOPS) for e in ("mpg", "mpeg", "m1v", "avi", "ts", "mkv")},
    **{f"mpeg4.{e}": film("mpeg4", **GOPS) for e in ("avi", "mp4", "mkv", "mov", "ts", "nut", "3gp", "m4v", "asf")},
    "mpeg4_qpel.avi": film("mpeg4", options={"g": "8", "bf": "2", "flags": "+qpel+mv4+aic"}),
    "mpeg4_one_b.avi": film("mpeg4", options={"g": "12", "bf": "1"}),
    "mpeg4_plain.avi": film("mpeg4", options={"g": "8"}),
    **{f"wmv.{e}": film(c, options={"g": "8"}) for e, c in (("wmv", "wmv2"), ("asf", "wmv1"), ("avi", "wmv2"))},
    **{f"msmpeg4{v}.avi": film(c, options={"g": "8"}) for v, c in (("v2", "msmpeg4v2"), ("v3", "msmpeg4"))},
    **{f"mjpeg.{e}": film("mjpeg", pixels="yuvj420p") for e in ("avi", "mov", "mkv", "mjpeg", "mp4", "nut", "mxf")},
    **{f"sorenson.{e}": film("flv", options={"g": "8"}) for e in ("flv", "avi")},
    **{f"vp8.{e}": film("libvpx", **VP9) for e in ("webm", "mkv", "ivf", "avi", "nut")},
    **{f"vp9.{e}": film("libvpx-vp9", **VP9) for e in ("webm", "mkv", "mp4", "ivf")},
    "vp8_hidden.webm": hidden_frames,
    "vp8_hidden.ivf": hidden_frames,
    "vp9_hidden.webm": film(
        "libvpx-vp9", times=range(40), options={"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}
    ),
    **{f"av1.{e}": film("libsvtav1", options={"preset": "12"}) for e in ("mp4", "mkv", "ivf", "obu")},
    **{f"ffv1_{p}.mkv": film("ffv1", pixels=p) for p in ("yuv422p10le", "gray16le", "gbrp12le", "bgr0", "yuv420p")},
    "ffv1.avi": film("ffv1"),
    **{f"huffyuv.{e}": film("huffyuv", pixels="yuv422p") for e in ("avi", "mkv")},
    "ffvhuff.avi": film("ffvhuff"),
    "utvideo.avi": film("utvideo"),
    "magicyuv.avi": film("magicyuv"),
    "zmbv.avi": film("zmbv", pixels="bgr0"),
    "msvideo1.avi": film("msvideo1", pixels="rgb555le"),
    "cinepak.avi": film("cinepak", pixels="rgb24"),
    "cinepak.mov": film("cinepak", pixels="rgb24"),
    "qtrle.mov": film("qtrle", pixels="rgb24"),
    "qtrle_alpha.mov": film("qtrle", pixels="argb"),
    "rpza.mov": film("rpza", pixels="rgb555be"),
    "svq1.mov": film("svq1", pixels="yuv410p"),
    "prores.mov": film("prores_ks", pixels="yuv422p10le"),
    "prores_alpha.mov": film("prores_ks", pixels="yuva444p10le"),
    "png_deep.mov": film("png", pixels="rgb48be"),
    "png_palette.mov": film("png", pixels="gray"),
    "jpeg2000.mov": film("jpeg2000"),
    "cfhd.mov": film("cfhd", pixels="yuv422p10le", size=(96, 128)),
    "snow.avi": film("snow", options={"strict": "-2"}),
    "rv10.rm": film("rv10"),
    "rv20.rm": film("rv20"),
    "h263.3gp": film("h263", size=(144, 176)),
    "h261.h261": film("h261", size=(144, 176)),
    "roq.roq": film("roqvideo", pixels="yuvj444p", size=(64, 64), rate=Fraction(30)),
    "gif.gif": film("gif", pixels="bgr8"),
    "apng.apng": film("apng", pixels="rgb24"),
    "webp.mkv": film("libwebp"),
    "y4m.y4m": film("wrapped_avframe", "yuv4mpegpipe"),
    "raw.avi": film("rawvideo", pixels="bgr24"),
    "raw.mov": film("rawvideo", pixels="yuyv422"),
    "raw.nut": film("rawvideo", pixels="rgb565le"),
    "v210.mov": film("v210", pixels="yuv422p10le"),
    "dnxhd.mxf": film("dnxhd", pixels="yuv422p", size=(720, 1280), times=range(4), options={"b": "110M"}),
    "dv.dv": film("dvvideo", pixels="yuv420p", size=(576, 720), times=range(6)),
    "dv.avi": film("dvvideo", pixels="yuv411p", size=(480, 720), times=range(6), rate=Fraction(30000, 1001)),
    "flashsv.flv": film("flashsv", pixels="bgr24"),
    # Rates and times.
    "rate_1000.mkv": film("libx264", rate=Fraction(1000), **H264),
    "rate_240.mp4": film("libx264", rate=Fraction(240), **H264),
    "rate_ntsc.mp4": film("libx264", rate=Fraction(30000, 1001), **H264),
    "rate_ntsc.avi": film("mpeg4", rate=Fraction(24000, 1001), **GOPS),
    "timelapse.mp4": film("libx264", rate=Fraction(1, 60), **H264),
    "timelapse.mkv": film("libx264", rate=Fraction(1), times=range(0, 60 * COUNT, 60), **H264),
    "timelapse.avi": film("mpeg4", rate=Fraction(1, 60), **GOPS),
    "slow.mkv": film("libx264", rate=Fraction(1), times=range(0, 7300 * 6, 7300), **H264),
    **{f"pauses.{e}": film("libx264", times=PAUSES, **H264) for e in ("mp4", "mkv", "ts", "avi", "flv")},
    "pauses.gif": film("gif", pixels="bgr8", times=PAUSES),
    "uneven.mkv": film("libx264", times=DOUBLED, **H264),
    "uneven.mp4": film("libx264", times=DOUBLED, **H264),
    **{f"before_zero.{e}": film("libx264", times=range(-10, 14), **H264) for e in ("mp4", "mkv", "nut")},
    **{f"late.{e}": film("libx264", times=range(5000, 5024), **H264) for e in ("mp4", "mkv", "ts", "flv")},
    **{f"one_frame.{e}": film("libx264", times=[0], **H264) for e in ("mp4", "mkv", "ts", "avi", "h264")},
    "one_frame.gif": film("gif", pixels="bgr8", times=[0]),
    "two_frames.avi": film("mpeg4", times=[0, 1], **GOPS),
    "wrong_rate.avi": patched(film("mpeg4", **GOPS), wrong_rate),
    "edit_list.mp4": patched(film("libx264", options=x264(30, 0)), begins_later),
    "edit_list_b.mp4": patched(film("libx264", **H264), begins_later),
    "fragments.mp4": film("libx264", muxing={"movflags": "frag_keyframe+empty_moov"}, **H264),
    "negative_composition.mp4": film("libx264", muxing={"movflags": "negative_cts_offsets"}, **H264),
    # How frames lie in chunks.
    "unpacked.avi": chunks_in_avi(list, **GOPS),
    "packed.avi": chunks_in_avi(packed, **GOPS),
    "packed_one_b.avi": chunks_in_avi(packed, options={"g": "12", "bf": "1"}),
    "packed_unmarked.avi": chunks_in_avi(lambda chunks: packed(chunks, b"none"), **GOPS),
    "packed_lagging.avi": chunks_in_avi(lagging, **GOPS),
    "packed_cut.avi": chunks_in_avi(lambda chunks: packed(chunks)[5:], **GOPS),
    "stills.avi": chunks_in_avi(with_still, options={"g": "8"}),
    "stills_b.avi": chunks_in_avi(with_still, **GOPS),
    "gaps.avi": chunks_in_avi(with_gaps, options={"g": "8"}),
    "gaps_b.avi": chunks_in_avi(with_gaps, **GOPS),
    "h264_chunks.avi": chunks_in_avi(list, "libx264", options=x264(10, 3)),
    "h264_gaps.avi": chunks_in_avi(with_gaps, "libx264", options=x264(10, 3)),
    "open_gop.mp4": film("libx264", options=x264(8, 3, ":open-gop=1")),
    "open_gop.ts": film("libx264", options=x264(8, 3, ":open-gop=1")),
    "pyramid.mkv": film("libx264", options=x264(20, 7, ":b-pyramid=normal")),
    "interlaced.mp4": film("libx264", options=x264(10, 2, ":tff=1:interlaced=1")),
    "interlaced.ts": film("libx264", options=x264(10, 2, ":bff=1:interlaced=1")),
    "fields.mkv": film("libx265", options={"x265-params": "log-level=none:interlace=tff"}),
    "intra_refresh.mp4": film("libx264", options=x264(250, 0, ":intra-refresh=1")),
    # Pixels.
    "ten_bits.mp4": film("libx264", pixels="yuv420p10le", **H264),
    "ten_bits_hevc.mp4": film("libx265", pixels="yuv422p10le", **HEVC),
    "pq.mp4": film("libx265", pixels="yuv420p10le", prepare=coloured(16, 9), **HEVC),
    "hlg.mkv": film("libx265", pixels="yuv420p10le", prepare=coloured(18, 9), **HEVC),
    "bt709.mp4": film("libx264", prepare=coloured(1, 1), **H264),
    "full_range.mp4": film("libx264", prepare=coloured(1, 1, True), **H264),
    "full_range.mkv": film("libx264", pixels="yuvj420p", **H264),
    "odd_size.mp4": film("libx264", size=(37, 51), pixels="yuv444p", **H264),
    "tiny.mkv": film("ffv1", size=(2, 2), pixels="yuv444p"),
    "wide.mkv": film("ffv1", size=(4, 400)),
    "grey.mp4": film("libx264", pixels="gray", **H264),
    "alpha.webm": film("libvpx-vp9", pixels="yuva420p", **VP9),
    "wide_pixels.mkv": film("mpeg4", prepare=wide_pixels, **GOPS),
    **{
        f"turned_{name}.mp4": patched(film("libx264", **H264), matrix(*turn))
        for name, turn in {
            "90": (0, 1, -1, 0),
            "180": (-1, 0, 0, -1),
            "270": (0, -1, 1, 0),
            "mirror": (-1, 0, 0, 1),
            "flip": (1, 0, 0, -1),
            "transpose": (0, 1, 1, 0),
            "transverse": (0, -1, -1, 0),
        }.items()
    },
    # Several in one.
    "restart.ts": joined(film("libx264", **H264), film("libx264", **H264)),
    "restart.mpg": joined(film("mpeg2video", **GOPS), film("mpeg2video", **GOPS)),
    "restart.h264": joined(film("libx264", **H264), film("libx264", **H264)),
    "sizes.ts": joined(film("libx264", **H264), film("libx264", size=(64, 96), times=range(24, 48), **H264)),
    "sizes_restart.ts": joined(film("libx264", size=(64, 96), **H264), film("libx264", **H264)),
    "sizes.h264": joined(film("libx264", **H264), film("libx264", size=(96, 64), **H264)),
    "sizes.m2v": joined(film("mpeg2video", **GOPS), film("mpeg2video", size=(64, 96), **GOPS)),
    "two_films.mp4": two_films,
    "wrong_ending.mp4": film("libx264", "matroska", **H264),
    "wrong_ending.avi": film("libx264", "mp4", **H264),
}


def cut_off(share: float, begin: float = 0.0) -> Callable[[bytearray, np.random.Generator], None]:
    def change(data: bytearray, rng: np.random.Generator) -> None:
        data[:] = data[int(begin * len(data)) : int(share * len(data))]

    return change


def flipped(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(1 << int(rng.integers(1, 7))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))


def hole(data: bytearray, rng: np.random.Generator) -> None:
    at, length = int(rng.integers(len(data) // 2)), int(rng.integers(10, len(data) // 4))
    data[at : at + length] = bytes(len(data[at : at + length]))


def missing(data: bytearray, rng: np.random.Generator) -> None:
    at, length = int(rng.integers(len(data) // 3, len(data))), int(rng.integers(1, len(data) // 6))
    del data[at : at + length]


DAMAGE = {
    "short": cut_off(0.1),
    "cut": cut_off(0.6),
    "nearly": cut_off(0.97),
    "late": cut_off(1.0, 0.3),
    "bytes": flipped,
    "hole": hole,
    "missing": missing,
}
DAMAGED = (
    "h264.mp4", "h264.mkv", "h264.ts", "h264.avi", "h264.flv", "hevc.mp4", "mpeg2.mpg", "mpeg4.avi", "packed.avi",
    "wmv.wmv", "vp9.webm", "fragments.mp4", "h264.h264", "gif.gif", "mjpeg.avi", "mpeg2.vob", "ffv1.avi", "h264.mxf",
)  # fmt: skip


def damaged(write_whole: Callable, change: Callable) -> Callable:
    def write(path: Path, seed: int) -> None:
        write_whole(path, seed)
        data = bytearray(path.read_bytes())
        change(data, np.random.default_rng(seed))
        path.write_bytes(data)

    return write


def odd_videos(seed: int = 0) -> list[Odd]:
    """Return TOTAL odd files: all whole kinds, and damaged ones, drawn by the seed, for the rest."""
    made = [Odd(name, write) for name, write in WHOLE.items()]
    pairs = [(name, kind) for name in DAMAGED for kind in DAMAGE]
    for i in np.random.default_rng(seed).permutation(len(pairs))[: TOTAL - len(made)]:
        name, kind = pairs[i]
        made.append(Odd(f"{kind}_of_{name}", damaged(WHOLE[name], DAMAGE[kind]), False))
    return made


def write_odd(folder: Path, odd: Odd, seed: int = 0) -> Path | None:
    """Write one file; None where this FFmpeg has no encoder or container for it."""
    path = folder / odd.name
    try:
        odd.write(path, seed)
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError) as error:
        path.unlink(missing_ok=True)
        print(f"{odd.name}: {error}", file=sys.stderr)
        return None
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for odd in odd_videos(int(sys.argv[2]) if len(sys.argv) > 2 else 0):
        write_odd(folder, odd, 0)
