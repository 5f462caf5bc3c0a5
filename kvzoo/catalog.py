"""The built-in specs: data and "module:function" strings, nothing else. Standard library only."""

from kvzoo.errors import InputError
from kvzoo.registry import (
    CallbackSpec,
    LossSpec,
    ModelSpec,
    Option,
    Registry,
    SamplerSpec,
    SourceSpec,
    Spec,
)

MODELS = Registry(
    ModelSpec,
    (
        ModelSpec(
            name="gru_ae",
            builder="kvzoo.models.gru_ae:gru_ae",
            summary="frames to a sequence of latents, a GRU over them, back to frames",
            kind="reconstructor",
            loss="mse",
            options={
                "frames": Option("int", 4, "frames of a clip", minimum=1),
                "image_size": Option("int", 64, "height and width in pixels", minimum=16, multiple_of=16),
                "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "latent_dim": Option("int", 64, "numbers that a frame is encoded to", minimum=1),
                "units": Option("int", 100, "size of the GRU's state", minimum=1),
                "width": Option("int", 32, "filters of the first convolution", minimum=1),
            },
            tiny={"frames": 3, "image_size": 16, "latent_dim": 8, "units": 12, "width": 4},
            optimizer={"name": "adam", "learning_rate": 1e-4},
            l2=1e-5,
            parameters={"network": 4_537_480},
            macs=620_000_000,
            feature_layer="latents",
            causal=True,
            article='"video reconstruction with GRU and autoencoder" (code satolab12/GRU-Autoencoder)',
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="conv3d_ae",
            builder="kvzoo.models.conv3d_ae:conv3d_ae",
            summary="a whole clip to one latent vector by 3D convolutions, and back",
            kind="reconstructor",
            loss="mse",
            options={
                "frames": Option("int", 16, "frames of a clip", minimum=16, multiple_of=16),
                "image_size": Option("int", 128, "height and width in pixels", minimum=16, multiple_of=16),
                "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "latent_dim": Option("int", 128, "numbers that a clip is encoded to", minimum=1),
                "width": Option("int", 64, "filters of the first convolution", minimum=1),
            },
            tiny={"frames": 16, "image_size": 16, "latent_dim": 8, "width": 4},
            optimizer={"name": "adam", "learning_rate": 1e-4},
            l2=1e-5,
            parameters={"network": 30_452_608},
            macs=7_790_000_000,
            feature_layer="latent",
            causal=False,
            article='"3D-CNNを用いたAutoencoderによる動画像の再構成" (code satolab12/3D-CNN-Autoencoder)',
            licence="Apache-2.0",
        ),
    ),
)

LOSSES = Registry(
    LossSpec,
    (
        LossSpec(
            name="mse",
            builder="kvzoo.losses.mse:MeanSquaredError",
            summary="mean squared error of the clip against itself, on values in -1..1",
            kinds=("reconstructor",),
            sampler="window",
            example=".fit(clips)",
        ),
    ),
)

SOURCES = Registry(
    SourceSpec,
    (
        SourceSpec(
            name="stick_actions",
            builder="kvzoo.data.stick_actions:StickActions",
            summary="articulated figures that wave, jump, bend and walk in still rooms, drawn as they are read",
            options={
                "videos": Option("int", 240, "videos to draw", minimum=1),
                "people": Option("int", 24, "people who share them", minimum=1),
                "seconds": Option("float", 2.4, "length of a video", minimum=0.2),
                "actions": Option("list[str]", None, "actions to draw; all when left out"),
                "rooms": Option("int", None, "rooms that the videos share; one for each when left out", minimum=1),
                "seed": Option("int", 0, "seed of people, rooms and cameras", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="stick_anomalies",
            builder="kvzoo.data.stick_anomalies:StickAnomalies",
            summary="an action in a still room that another one or an intruder interrupts, labelled frame by frame",
            options={
                "videos": Option("int", 60, "videos to draw", minimum=1),
                "people": Option("int", 12, "people who share them", minimum=1),
                "seconds": Option("float", 8.0, "length of a video", minimum=3),
                "actions": Option(
                    "list[str]", None, "normal actions; wave_two_hands, walk and jumping_jack when left out"
                ),
                "anomalies": Option("list[str]", None, "what interrupts them; bend, jump and intruder when left out"),
                "part": Option(
                    "str", "normal", "normal: without anomalies; test: most with one or two", choices=("normal", "test")
                ),
                "rooms": Option("int", None, "rooms that all videos share; one for each when left out", minimum=1),
                "seed": Option("int", 0, "seed of people, rooms, cameras and anomalies", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="spliced_strips",
            builder="kvzoo.data.spliced_strips:SplicedStrips",
            summary="strips of several actions, and test videos that one of them cuts into, labelled frame by frame",
            options={
                "path": Option("path", help="folder of images, one subfolder an action", required=True),
                "anomaly": Option("str", help="the action that interrupts; the others are normal", required=True),
                "person": Option("str", r"(person\d+)", "regular expression that finds the person in a file's path"),
                "part": Option(
                    "str",
                    "normal",
                    "normal: clips of the normal actions; test: other people's, most with an anomaly",
                    choices=("normal", "test"),
                ),
                "videos": Option("int", 36, "videos to splice for the test part", minimum=1),
                "test_people": Option("list[str]", None, "people of the test part; drawn when left out"),
                "test_share": Option("float", 0.3, "share of the people that is drawn", minimum=0.001, maximum=0.999),
                "layout": Option(
                    "str", "auto", "how frames lie in an image", choices=("auto", "horizontal", "vertical")
                ),
                "native_fps": Option("float", 25.0, "frames a second of the images' clips", minimum=0.001),
                "seed": Option("int", 0, "seed of who is drawn and of the splices", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="strips",
            builder="kvzoo.data.strips:Strips",
            summary="a folder of images, one a clip, its frames side by side or stacked",
            options={
                "path": Option("path", help="folder of images", required=True),
                "layout": Option(
                    "str", "auto", "how frames lie in an image", choices=("auto", "horizontal", "vertical")
                ),
                "frames_per_image": Option("int", None, "frames in an image; square frames when left out", minimum=1),
                "order": Option("list[int]", None, "time of each frame as it lies in the image, such as 1 2 3 4 5 0 6"),
                "native_fps": Option("float", 25.0, "frames a second of the images' clips", minimum=0.001),
            },
            labels=True,
        ),
        SourceSpec(
            name="videos",
            builder="kvzoo.data.videos:Videos",
            summary="a folder of video files; labels from subfolders or a CSV",
            options={
                "path": Option("path", help="folder of video files", required=True),
                "csv": Option("path", None, "CSV with the columns path, and optionally start, end (seconds), label"),
            },
            labels=True,
        ),
    ),
)

SAMPLERS = Registry(
    SamplerSpec,
    (
        SamplerSpec(
            name="window",
            builder="kvzoo.data.samplers:Window",
            summary="consecutive frames, anywhere in the video",
        ),
    ),
)

CALLBACKS = Registry(CallbackSpec, ())

REGISTRIES = {registry.spec_type.noun: registry for registry in (MODELS, LOSSES, SOURCES, SAMPLERS, CALLBACKS)}


def list_models(pattern: str = "*") -> list[str]:
    """Return the registered models' names, built-ins and plugins', without importing any.

    Args:
        pattern: shell-style wildcards, such as "*_ae".
    """
    return MODELS.names(pattern)


def register(spec: Spec) -> None:
    """Add a model, loss, source, sampler or callback from code: the same as a plugin's entry point.

    Raises:
        InputError: it is no spec, or its name is taken.
    """
    registry = REGISTRIES.get(getattr(spec, "noun", None))
    if registry is None:
        raise InputError(f"register: a spec is wanted, such as ModelSpec(…). Received: {type(spec).__name__}")
    registry.register(spec)
