"""File name endings of videos: FFmpeg's for containers of videos, and those of cameras and programs."""

from av.format import ContainerFormat

# FFmpeg's names of containers; those that the installed FFmpeg lacks are skipped.
CONTAINERS = (
    "mov matroska avi flv f4v asf asf_stream mpegts mpeg mpeg1video mpeg2video svcd vob dvd m4v ogv nut mxf mxf_opatom "
    "gxf dv ivf h261 h263 h264 hevc vvc av1 obu evc apv avs2 avs3 cavsvideo dirac dnxhd vc1 vc1test mjpeg amv rm ivr "
    "wtv yuv4mpegpipe gif apng roq dhav vivo ty kux ifv mxg bmv usm xmv yop lvf moflex film_cpk ipu ser pdv"
)

# Of their endings, those of sound, images or text.
OTHERS = "m4a m4b isma mka mks wma ra heic heif avif mpo"

FURTHER = (
    "mpe m1v mpv mp2v mpv2 m2v m2p evo tod mod trp tp tts rec wm dvr-ms qt mqv mp4v mpg4 3gpp 3gp2 3g2 divx xvid ogm "
    "ogx rmvb rv f4p nsv nuv mjp mj2 lrv insv 360 bik bk2 smk fli flc vp6 viv swf mlv cine gdv xesc hdmov"
)


def _endings() -> tuple[str, ...]:
    names = set(FURTHER.split())
    for name in CONTAINERS.split():
        try:
            names |= ContainerFormat(name).extensions
        except ValueError:
            continue
    return tuple(sorted(f".{ending.lower()}" for ending in names - set(OTHERS.split())))


VIDEO = _endings()

# Files often next to videos: images, sound, text, tables, stores, archives, programs.
_NO_VIDEO = (
    "png jpg jpeg jpe jfif bmp tif tiff webp ico svg psd xcf raw dng cr2 nef arw heic heif avif jp2 j2k jxl exr hdr "
    "pbm pgm ppm pnm tga dpx mpo thm wav mp3 m4a m4b m4p aac ac3 flac oga opus wma ra aif aiff amr au mid mka "
    "txt md rst csv tsv json jsonl yaml yml toml ini cfg conf xml html htm log pdf doc docx rtf tex srt ass ssa vtt "
    "sub idx smi lrc nfo mks eaf xls xlsx ods odt ppt pptx db sqlite h5 hdf5 npy npz mat pkl pickle parquet arrow "
    "pt pth ckpt keras onnx safetensors tflite zip tar gz tgz bz2 xz 7z rar md5 sha1 sha256 py pyc ipynb sh bat js "
    "css c h cpp m r java lock part crdownload tmp bak url lnk torrent m3u m3u8 pls xspf aux bup ifo xmp gpx dtd "
    "tfrecord"
)
NO_VIDEO = frozenset(f".{ending}" for ending in _NO_VIDEO.split())
