"""The built-in specs, data and "module:function" strings, and what is asked of specs of several groups. Standard library only."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace

from kvzoo import keras_names
from kvzoo.errors import InputError, PluginError
from kvzoo.registry import (
    CallbackSpec,
    Figure,
    LossSpec,
    MetricSpec,
    ModelSpec,
    OptimizerSpec,
    Option,
    Registry,
    SamplerSpec,
    SourceSpec,
    Spec,
    TaskSpec,
    Term,
    figure_of,
)

_VIDEOGAN_OPTIONS = {
    "frames": Option("int", 32, "frames of a clip", minimum=16, multiple_of=16),
    "image_size": Option("int", 64, "height and width in pixels", minimum=16, multiple_of=16),
    "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
    "noise_dim": Option("int", 100, "numbers that a clip is made from", minimum=1),
    "width": Option("int", 64, "filters of the last hidden layer", minimum=1),
    "two_stream": Option("bool", True, "a still background behind; false is the one-stream ablation"),
}
_MASK_L1 = Term("kvzoo.models.videogan:mask_l1", 0.1, maps=("mask",), help="mean of the mask: less foreground")

# Options of the samplers that cut inputs and targets.
_AUGMENTED = {
    "jitter": Option("int", 0, "pixels; frames are read so much larger and cropped at random", minimum=0),
    "mirror": Option("bool", False, "half of the examples are mirrored"),
}

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
        ModelSpec(
            name="videogan",
            builder="kvzoo.models.videogan:videogan",
            summary="noise to a clip: a moving foreground painted through a mask over a still background",
            kind="generator",
            loss="adversarial",
            discriminators={"discriminator": "kvzoo.models.videogan:videogan_discriminator"},
            maps=("foreground", "mask", "background"),
            terms={"mask_l1": _MASK_L1},
            options=_VIDEOGAN_OPTIONS,
            tiny={"frames": 16, "image_size": 16, "noise_dim": 8, "width": 4},
            optimizer={"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            parameters={"network": 16_245_383, "discriminator": 11_041_473},
            macs=2_250_000_000,
            paper='Vondrick et al., "Generating Videos with Scene Dynamics", NIPS 2016, arXiv 1609.02612 '
            "(code cvondrick/videogan)",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="videogan_label",
            builder="kvzoo.models.videogan:videogan_label",
            summary="noise and a class to a clip: videogan with the label in its foreground stream",
            kind="generator",
            loss="adversarial",
            discriminators={"discriminator": "kvzoo.models.videogan:videogan_label_discriminator"},
            maps=("foreground", "mask", "background"),
            terms={"mask_l1": _MASK_L1},
            options={**_VIDEOGAN_OPTIONS, "classes": Option("int", 4, "how many classes the data has", minimum=2)},
            tiny={"frames": 16, "image_size": 16, "noise_dim": 8, "width": 4, "classes": 3},
            optimizer={"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            # at 4 classes: 16,384 more for each in the generator, 16,385 in the discriminator
            parameters={"network": 16_310_919, "discriminator": 11_107_013},
            macs=2_250_000_000,
            paper="Vondrick et al., NIPS 2016 (VideoGAN); Odena et al., ICML 2017 (the class head)",
            article="the article's extension of VideoGAN with labels",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="videogan_image",
            builder="kvzoo.models.videogan:videogan_image",
            summary="a still picture to the clip that follows it",
            kind="generator",
            loss="adversarial",
            discriminators={"discriminator": "kvzoo.models.videogan:videogan_image_discriminator"},
            maps=("foreground", "mask", "background"),
            terms={
                "first_frame_l1": Term(
                    "kvzoo.models.videogan:first_frame_l1", 10.0, help="the first frame is the picture"
                ),
                # The original trains this network without it; 0 keeps it at hand.
                "mask_l1": replace(_MASK_L1, weight=0.0),
            },
            options={
                **{name: option for name, option in _VIDEOGAN_OPTIONS.items() if name != "noise_dim"},
                "width": Option("int", 128, "filters of the last hidden layer", minimum=1),
            },
            tiny={"frames": 16, "image_size": 16, "width": 4},
            optimizer={"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            parameters={"network": 68_216_455, "discriminator": 44_103_041},
            macs=8_900_000_000,
            paper="Vondrick et al., NIPS 2016, the conditional version (code cvondrick/videogan, main_conditional.lua)",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="pix2pix",
            builder="kvzoo.models.pix2pix:pix2pix",
            summary="n frames to m frames by a U-Net, with a discriminator of patches: interpolation, prediction, image to image",
            kind="translator",
            loss="conditional",
            discriminators={"discriminator": "kvzoo.models.pix2pix:pix2pix_discriminator"},
            options={
                "frames_in": Option("int", 2, "frames that are given", minimum=1),
                "frames_out": Option("int", 5, "frames that are made", minimum=1),
                "image_size": Option("int", 128, "height and width in pixels", choices=(32, 64, 128, 256, 512)),
                "channels": Option("int", 3, "of an input frame; sources give 1 (grey) or 3 (RGB)", minimum=1),
                "channels_out": Option("int", None, "of an output frame; as the input's when left out", minimum=1),
                "width": Option("int", 64, "filters of the first convolution", minimum=1),
                "dropout": Option(
                    "float", 0.5, "share of the decoder's first three layers dropped", minimum=0, maximum=0.9
                ),
                "patch": Option(
                    "int", 70, "pixels that a logit of the discriminator sees", choices=(1, 16, 34, 70, 142, 286)
                ),
            },
            tiny={"frames_in": 2, "frames_out": 3, "image_size": 32, "width": 4, "patch": 34},
            optimizer={"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
            parameters={"network": 41_857_231, "discriminator": 2_784_065},
            macs=1_620_000_000,
            feature_layer="bottleneck",
            paper='Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, '
            "arXiv 1611.07004",
            article='"pix2pixでフレーム補完" (code pekatuu/pix2pix-tensorflow, branch multi_A)',
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="tiny_c3d",
            builder="kvzoo.models.tiny_c3d:tiny_c3d",
            summary="a small 3D convolutional classifier of clips",
            kind="classifier",
            loss="cross_entropy",
            options={
                "frames": Option("int", 16, "frames of a clip", minimum=1),
                "image_size": Option("int", 64, "height and width in pixels", minimum=1),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "classes": Option("int", 6, "how many classes the data has", minimum=2),
                "width": Option("int", 16, "filters of the first convolution", minimum=1),
            },
            tiny={"frames": 4, "image_size": 16, "width": 4},
            optimizer={"name": "adam", "learning_rate": 1e-3},
            parameters={"network": 140_246},
            macs=62_800_000,
            feature_layer="features",
            paper="Tran et al., ICCV 2015, arXiv 1412.0767 (C3D, of which it is a small relative)",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="flow_interpolator",
            builder="kvzoo.models.flow_interpolator:flow_interpolator",
            summary="the frames between two: both moved to their time, blended by visibility, repaired",
            kind="translator",
            loss="conditional",
            loss_options={"gan_weight": 0.0},
            maps=("flow", "visibility", "trust", "warped"),
            terms={
                "warped_l1": Term(
                    "kvzoo.models.flow_interpolator:warped_l1",
                    50.0,
                    maps=("warped",),
                    help="absolute error of the blend before its repair, on -1..1, over four sizes",
                ),
                "smoothness": Term(
                    "kvzoo.models.flow_interpolator:smoothness",
                    0.0,
                    maps=("flow",),
                    help="mean difference of neighbouring flows, in pixels",
                ),
            },
            options={
                "frames_in": Option("int", 2, "frames that are given: the first and the last", choices=(2,)),
                "frames_out": Option("int", 5, "frames that are made between them", minimum=1),
                "image_size": Option("size", 64, "height and width in pixels", minimum=8, multiple_of=8),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "channels_out": Option("int", None, "the same as channels", choices=(1, 3)),
                "width": Option("int", 32, "filters at half the size", minimum=1),
            },
            tiny={"frames_in": 2, "frames_out": 3, "image_size": 16, "width": 4},
            optimizer={"name": "adam", "learning_rate": 1e-3},
            parameters={"network": 1_675_283},
            macs=755_000_000,
            paper='Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022, '
            'arXiv 2011.06294; Jiang et al., "Super SloMo", CVPR 2018, arXiv 1712.00080',
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="speednet",
            builder="kvzoo.models.speednet:speednet",
            summary="a clip to one logit: is it sped up?",
            kind="classifier",
            loss="binary_speed",
            options={
                "frames": Option("int", 64, "frames of the clips that it is trained on; any at inference", minimum=1),
                "image_size": Option("int", 224, "their height and width in pixels; any at inference", minimum=1),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "width": Option("float", 1.0, "times the filters of every convolution", minimum=0.01),
            },
            tiny={"frames": 4, "image_size": 16, "width": 0.0625},
            optimizer={"name": "adam", "learning_rate": 1e-3},
            parameters={"network": 9_130_401},
            macs=197_200_000_000,
            feature_layer="features",
            map_layer="map",
            paper="Benaim et al., CVPR 2020, arXiv 2004.06130 (SpeedNet)",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="speednet_i3d",
            builder="kvzoo.models.speednet:speednet_i3d",
            summary="speednet on I3D's full convolutions, without gates: the paper's comparison",
            kind="classifier",
            loss="binary_speed",
            options={
                "frames": Option("int", 64, "frames of the clips that it is trained on; any at inference", minimum=1),
                "image_size": Option("int", 224, "their height and width in pixels; any at inference", minimum=1),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "width": Option("float", 1.0, "times the filters of every convolution", minimum=0.01),
            },
            tiny={"frames": 4, "image_size": 16, "width": 0.0625},
            optimizer={"name": "adam", "learning_rate": 1e-3},
            parameters={"network": 12_288_289},
            macs=315_200_000_000,
            feature_layer="features",
            map_layer="map",
            paper="Benaim et al., CVPR 2020, arXiv 2004.06130 (SpeedNet); Carreira and Zisserman, CVPR 2017 (I3D)",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="s3dg",
            builder="kvzoo.models.s3dg:s3dg",
            summary="a clip to its class: separable 3D convolutions with self-gating, the trunk of speednet",
            kind="classifier",
            loss="cross_entropy",
            options={
                "frames": Option("int", 64, "frames of the clips that it is trained on; any at inference", minimum=1),
                "image_size": Option("int", 224, "their height and width in pixels; any at inference", minimum=1),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "classes": Option("int", 400, "how many classes the data has", minimum=2),
                "width": Option("float", 1.0, "times the filters of every convolution", minimum=0.01),
                "temporal_stride": Option("int", 8, "8 as in the paper, 1 as in speednet", choices=(1, 8)),
                "spatial_stride": Option("int", 32, "32 as in the paper, 16 as in speednet", choices=(16, 32)),
                "gates": Option("bool", True, "self-gating; false is S3D"),
                "convolutions": Option(
                    "str", "separable", "full ones without gates are I3D", choices=("separable", "full")
                ),
            },
            # At the paper's strides a tiny clip leaves one value a filter, too few for a batch norm that backends agree on.
            tiny={
                "frames": 4,
                "image_size": 32,
                "classes": 3,
                "width": 0.0625,
                "temporal_stride": 1,
                "spatial_stride": 16,
            },
            optimizer={"name": "adam", "learning_rate": 1e-3},
            parameters={"network": 9_539_376},
            macs=71_900_000_000,
            feature_layer="features",
            map_layer="map",
            paper="Xie et al., ECCV 2018, arXiv 1712.04851 (S3D-G)",
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
            task="reconstruction",
        ),
        LossSpec(
            name="cross_entropy",
            builder="kvzoo.losses.cross_entropy:CrossEntropy",
            summary="cross-entropy of a clip's class, in nats",
            kinds=("classifier",),
            sampler="window",
            example=".fit(clips, labels)",
            task="classification",
        ),
        LossSpec(
            name="binary_speed",
            builder="kvzoo.losses.binary_speed:BinarySpeed",
            summary="binary cross-entropy of whether a clip is sped up, in nats",
            kinds=("classifier",),
            sampler="speed_pair",
            example=".fit(clips, labels), 1 = sped up",
            task="speediness",
        ),
        LossSpec(
            name="adversarial",
            builder="kvzoo.losses.adversarial:Adversarial",
            summary="a generator and the discriminators that tell its clips from real ones, trained in turns",
            options={
                "variant": Option(
                    "str",
                    "log",
                    "what the discriminators and the generator minimise",
                    choices=("log", "hinge", "least_squares", "wasserstein_gp"),
                ),
                "gradient_penalty": Option(
                    "float", None, "weight of wasserstein_gp's penalty; 10 when left out", minimum=0
                ),
                "label_smoothing": Option(
                    "float", 0.0, "of log: real clips count as real by 1 minus this", minimum=0, maximum=0.5
                ),
                "discriminator_steps": Option("int", 1, "discriminator updates per generator update", minimum=1),
                "discriminator_learning_rate": Option(
                    "float",
                    None,
                    "of the discriminators, with a schedule at its start; default: the generator's",
                    minimum=0,
                ),
                "spectral_norm": Option("bool", False, "divide the discriminators' kernels by their spectral norm"),
                "class_weight": Option(
                    "float", 1.0, "weight of the class head's cross-entropy, where a discriminator has one", minimum=0
                ),
                "terms": Option("dict[str, float]", None, "weights of the model's own terms, by name"),
            },
            kinds=("generator",),
            sampler="window",
            example=".fit(clips), or .fit(clips, labels) if the generator or a discriminator takes labels",
            task="generation",
        ),
        LossSpec(
            name="conditional",
            builder="kvzoo.losses.conditional:Conditional",
            summary="pix2pix's: L1 to the true frames, and a discriminator of inputs and outputs",
            options={
                "gan_weight": Option("float", 1.0, "of the discriminators' part; 0 trains without them", minimum=0),
                "l1_weight": Option("float", 100.0, "of the mean absolute error on -1..1", minimum=0),
                "g_steps": Option("int", 1, "network updates per discriminator update", minimum=1),
                "test_time": Option(
                    "str",
                    "inference",
                    "outside of training; paper: dropout on and batch norm with the batch's own statistics",
                    choices=("inference", "paper"),
                ),
                "terms": Option("dict[str, float]", None, "weights of the model's own terms, by name"),
            },
            kinds=("translator",),
            sampler="interpolate",
            example=".fit(inputs, targets)",
            task="translation",
        ),
    ),
)

SOURCES = Registry(
    SourceSpec,
    (
        SourceSpec(
            name="stick_actions",
            builder="kvzoo.data.worlds.stick_actions:StickActions",
            summary="articulated figures that wave, jump, bend and walk in still rooms, drawn as they are read",
            options={
                "videos": Option("int", 240, "videos to draw", minimum=1),
                "people": Option("int", 24, "people who share them", minimum=1),
                "seconds": Option("float", 2.4, "length of a video", minimum=0.2),
                "actions": Option("list[str]", None, "actions to draw; all when left out"),
                "rooms": Option("int", None, "rooms that the videos share; one for each when left out", minimum=1),
                "cameras": Option(
                    "str",
                    "even",
                    "even: the frame suits the person; varied: close up to far away",
                    choices=("even", "varied"),
                ),
                "seed": Option("int", 0, "seed of people, rooms and cameras", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="stick_anomalies",
            builder="kvzoo.data.worlds.stick_anomalies:StickAnomalies",
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
            name="moving_shapes",
            builder="kvzoo.data.worlds.moving_shapes:MovingShapes",
            summary="large shapes that slide, bounce, circle and go diagonally before still walls, with their true masks",
            options={
                "videos": Option("int", 240, "videos to draw", minimum=1),
                "shapes": Option("int", 24, "shapes that share them", minimum=1),
                "seconds": Option("float", 2.4, "length of a video", minimum=0.2),
                "motions": Option("list[str]", None, "slide, bounce, circle, diagonal; all when left out"),
                "forms": Option("list[str]", None, "disc, square, triangle, star, ring; all when left out"),
                "walls": Option("int", 8, "walls that the videos share", minimum=1),
                "seed": Option("int", 0, "seed of shapes, walls and paths", minimum=0),
            },
            version=1,
            labels=True,
            groups="shape",
        ),
        SourceSpec(
            name="falling_bodies",
            builder="kvzoo.data.worlds.falling_bodies:FallingBodies",
            summary="balls and tyres that bounce, fly, swing and roll as gravity has it, seen from near and from far",
            options={
                "videos": Option("int", 240, "videos to draw", minimum=1),
                "bodies": Option("int", 24, "balls and tyres that share them", minimum=1),
                "seconds": Option("float", 4.0, "length of a video", minimum=0.2),
                "motions": Option("list[str]", None, "bounce, throw, swing, roll, hop; all when left out"),
                "seed": Option("int", 0, "seed of bodies, rooms, cameras and motions", minimum=0),
            },
            version=1,
            labels=True,
            groups="body",
        ),
        SourceSpec(
            name="moving_scenes",
            builder="kvzoo.data.worlds.moving_scenes:MovingScenes",
            summary="layered scenes like photographs in motion, with exact flow, visibility and layers",
            options={
                "videos": Option("int", 4000, "videos to draw", minimum=1),
                "frames": Option("int", 3, "frames of a video", minimum=2),
                "motion": Option(
                    "float",
                    0.25,
                    "farthest way from first to last frame, in parts of the side",
                    minimum=0.0,
                    maximum=0.5,
                ),
                "effects": Option("bool", True, "light, motion blur, softness, noise and compression"),
                "seed": Option("int", 0, "seed of the scenes", minimum=0),
            },
            version=1,
            groups="scene",
        ),
        SourceSpec(
            name="speed_spans",
            builder="kvzoo.data.worlds.speed_spans:SpeedSpans",
            summary="drawn videos whose spans play slowed, naturally or sped up, the speed of each frame known",
            options={
                "world": Option("str", "stick_actions", "what is seen", choices=("stick_actions", "falling_bodies")),
                "videos": Option("int", 12, "videos to draw", minimum=1),
                "seconds": Option("float", 18.0, "playing time of a video", minimum=0.2),
                "speeds": Option("list[float]", None, "speeds of the spans; 0.5, 1 and 2 when left out"),
                "spans": Option("int", 6, "spans in a video", minimum=1),
                "seed": Option("int", 0, "seed of the world and of the spans", minimum=0),
            },
            version=1,
            labels=True,
            groups="person or body",
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
            name="frames",
            builder="kvzoo.data.frames:Frames",
            summary="folders of image sequences, an image a frame, as MOT Challenge has them",
            options={
                "path": Option("path", help="folder of sequences", required=True),
                "native_fps": Option(
                    "float", None, "frames a second; what seqinfo.ini says, or 25, when left out", minimum=0.001
                ),
            },
            labels=True,
        ),
        SourceSpec(
            name="pairs",
            builder="kvzoo.data.pairs:Pairs",
            summary="two folders of images or videos, inputs and targets, matched by name",
            options={
                "path": Option("path", help="folder of inputs", required=True),
                "target_path": Option("path", help="folder of targets", required=True),
                "native_fps": Option("float", 25.0, "frames a second of images, where they are drawn", minimum=0.001),
            },
            labels=True,
        ),
        SourceSpec(
            name="npy",
            builder="kvzoo.data.npy:Npy",
            summary="clips in one array file, as Moving-MNIST is published",
            options={
                "path": Option("path", help="the file, FILE.npy, of uint8", required=True),
                "axes": Option(
                    "str", "auto", "which is time, which the clips", choices=("auto", "tnhw", "nthw", "nthwc")
                ),
                "native_fps": Option("float", 10.0, "frames a second", minimum=0.001),
            },
        ),
        SourceSpec(
            name="hdf5",
            builder="kvzoo.data.hdf5:Hdf5",
            summary="a store of decoded frames in one file, as `kvzoo data prepare` makes it",
            options={
                "path": Option("path", help="the store, FILE.h5", required=True),
                "reader": Option(
                    "str",
                    "native",
                    "tfio: tensorflow-io within a tf.data graph; TensorFlow 2.16 only, a cut run is not resumed exactly",
                    choices=("native", "tfio"),
                ),
            },
            labels=True,
            groups="as it was prepared",
        ),
        SourceSpec(
            name="videos",
            builder="kvzoo.data.videos:Videos",
            summary="a folder of video files; labels from subfolders or a CSV",
            options={
                "path": Option("path", help="folder of video files", required=True),
                "csv": Option("path", None, "CSV with the columns path, and optionally start, end (seconds), label"),
                "layout": Option(
                    "str",
                    None,
                    "labels, groups and parts as a published set has them",
                    choices=("ucf101", "hmdb51", "kinetics"),
                ),
                "lists": Option("path", None, "of a layout: its folder of split files, or its CSV"),
                "fold": Option("int", 1, "of a layout: which of its splits", minimum=1),
                "part": Option(
                    "str", "all", "of a layout: which part is read", choices=("train", "test", "validate", "all")
                ),
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
        SamplerSpec(
            name="interpolate",
            builder="kvzoo.data.samplers:Interpolate",
            summary="the first and the last of a span of frames, and those between",
            options={
                **_AUGMENTED,
                "pan": Option("float", 0.0, "pixels a frame that half of the crops slide by, at most", minimum=0.0),
                "zoom": Option(
                    "float", 0.0, "share of its size that such a crop grows by a frame", minimum=0.0, maximum=0.09
                ),
            },
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="predict",
            builder="kvzoo.data.samplers:Predict",
            summary="consecutive frames, and those that follow",
            options=_AUGMENTED,
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="offsets",
            builder="kvzoo.data.samplers:Offsets",
            summary="any frames of a window, and any to be made of them",
            options={
                "inputs": Option("list[int]", help="places in the window, from 0, of the inputs", required=True),
                "targets": Option("list[int]", help="places in the window, from 0, of the targets", required=True),
                "window": Option(
                    "int", None, "frames of the window; as far as the places reach when left out", minimum=1
                ),
                **_AUGMENTED,
            },
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="speed_pair",
            builder="kvzoo.data.samplers:SpeedPair",
            summary="the same frames at normal speed and sped up: two clips, labelled 0 and 1",
            options={
                "same_batch": Option("bool", True, "both clips; false: one of them, so that a batch mixes videos"),
                "temporal": Option("bool", True, "random rates, 1 to 1.2 and 1.7 to 2.2; false: exactly 1 and 2"),
                "spatial": Option("bool", True, "each batch at one of `sizes`; false: at the model's own size"),
                "sizes": Option("list[int]", None, "pixels; 64 to 336 when left out, in proportion to 224", minimum=1),
            },
        ),
    ),
)

CALLBACKS = Registry(CallbackSpec, ())

OPTIMIZERS = Registry(
    OptimizerSpec,
    tuple(
        OptimizerSpec(name, f"keras.optimizers:{keras_class}", f"Keras's {keras_class}", options)
        for name, (keras_class, options) in keras_names.OPTIMIZERS.items()
    ),
)

_PSNR = Figure("psnr", better="higher", panel="PSNR in dB")
_LOSS = Figure("loss", better="lower", panel="loss")
_ACCURACY = Figure("accuracy", better="higher", panel="accuracy")
_PLAYERS = (
    Figure("g_loss", better="lower", panel="loss"),
    Figure("d_loss", better="lower", panel="loss"),
    _ACCURACY,
    Figure("g_norm", panel="gradient norm"),
    Figure("d_norm", panel="gradient norm"),
)
_SSIM_WORDS = "mean of the frames' SSIM: Gaussian window of 11 pixels, sigma 1.5, mean of channels (scikit-image)"
_SHARPNESS_WORDS = "mean of the frames' variance of the Laplacian (OpenCV)"


def _translation_figures() -> Iterable[Figure]:
    """Yield a translator's figures, and the same of what needs no model."""
    yield Figure("psnr", "mean of the frames' PSNR, 100 at most, which equal frames get", "dB", "higher")
    yield Figure("ssim", _SSIM_WORDS, better="higher")
    yield Figure("sharpness", _SHARPNESS_WORDS)
    between = "where targets lie between inputs"
    baselines = {
        "cross_fade": ("the linear blend of the inputs before and after", between),
        "nearest": ("the input that is nearest in time", f"{between}, or some before and some behind"),
        "copy_last": ("the latest input", "where targets lie behind inputs"),
    }
    for baseline, (words, where) in baselines.items():
        for name in ("psnr", "ssim", "sharpness"):
            yield Figure(f"{baseline}_{name}", f"the same of {words}", where=where)
    yield Figure("target_sharpness", "the same of the true frames")


TASKS = Registry(
    TaskSpec,
    (
        TaskSpec(
            name="reconstruction",
            builder="kvzoo.tasks.reconstruction:Reconstruction",
            summary="a clip comes back as it was",
            example="a clip",
            kind="reconstructor",
            figures=(
                Figure(
                    "mse",
                    "mean squared error of all values; on -1 to 1, as the loss mse has it, four times that",
                    better="lower",
                    title="MSE",
                    form="{:.5f}",
                ),
                Figure(
                    "psnr",
                    "mean of the clips' PSNR, each from the error of its whole clip",
                    "dB",
                    "higher",
                    title="PSNR, dB",
                    form="{:.2f}",
                ),
                Figure("ssim", _SSIM_WORDS, better="higher", title="SSIM", form="{:.3f}"),
                Figure("sharpness", f"{_SHARPNESS_WORDS}, output"),
                Figure("input_sharpness", "the same of the input"),
                Figure(
                    "sharpness_ratio",
                    "sharpness / input_sharpness: below 1 the output is blurred, above 1 it adds grain",
                    better="nearer 1",
                    title="sharpness ratio",
                    form="{:.2f}",
                ),
            ),
            history=(_PSNR, _LOSS),
            best=("val_psnr", "val_loss", "loss"),
            apps=("evaluate", "compare", "reconstruct", "anomaly", "embed", "retrieve"),
        ),
        TaskSpec(
            name="translation",
            builder="kvzoo.tasks.translation:Translation",
            summary="frames become other frames: those between, those that follow, another picture of each",
            example="inputs and targets, frames each",
            kind="translator",
            figures=tuple(_translation_figures()),
            history=(_PSNR, *_PLAYERS, Figure("l1", better="lower"), _LOSS),
            best=("val_psnr", "val_loss", "loss"),
            apps=("evaluate", "interpolate", "predict"),
        ),
        TaskSpec(
            name="generation",
            builder="kvzoo.tasks.generation:Generation",
            summary="noise, a label or an image becomes a clip like those of the data",
            example="a clip, with its label where the generator or a discriminator takes labels",
            kind="generator",
            figures=(
                Figure(
                    "frechet_distance",
                    "squared Fréchet distance of generated clips to one half of the real ones, in the features",
                    better="lower",
                ),
                Figure("real_frechet_distance", "the same of the other half of the real ones"),
                Figure("diversity", "mean distance between two generated clips, in the features", better="higher"),
                Figure("real_diversity", "the same of real ones"),
                Figure(
                    "frechet_ratio",
                    "frechet_distance / real_frechet_distance: 1 is as near as real clips are",
                    better="nearer 1",
                ),
                Figure(
                    "diversity_ratio",
                    "diversity / real_diversity: near 0 the clips are all alike",
                    better="nearer 1",
                ),
                Figure(
                    "mask",
                    "mean of the generated masks: 0 is all background, 1 all foreground",
                    where="where the generator makes masks",
                ),
                Figure(
                    "mask_iou",
                    "overlap of mask > 0.5 with where clips move: pixels that differ from their median over time by 0.1",
                    better="higher",
                    where="where the generator makes masks",
                ),
                Figure(
                    "class_accuracy",
                    "share of the generated clips that the judge takes for the class asked for",
                    better="higher",
                    where="where a judge is asked",
                ),
            ),
            history=(*_PLAYERS, Figure("diversity", better="higher"), _LOSS),
            best=("val_loss", "diversity", "loss"),
            clips=512,
            apps=("evaluate", "generate"),
            note="Losses of adversarial networks show which network is ahead, not how good the clips are.",
        ),
        TaskSpec(
            name="classification",
            builder="kvzoo.tasks.classification:Classification",
            summary="a clip is told to be of one of some classes",
            example="a clip and the index of its class",
            kind="classifier",
            figures=(
                Figure("accuracy", "share of the clips whose highest logit is their class's", better="higher"),
                Figure("balanced_accuracy", "mean of the classes' accuracy (scikit-learn)", better="higher"),
                Figure("cross_entropy", "mean of the clips' (scikit-learn)", "nats", "lower"),
            ),
            history=(_ACCURACY, _LOSS),
            best=("val_accuracy", "val_loss", "loss"),
            clips=512,
            apps=("evaluate", "judge", "embed", "retrieve"),
        ),
        TaskSpec(
            name="speediness",
            builder="kvzoo.tasks.speediness:Speediness",
            summary="a clip at twice its speed is told from the same one at its own",
            example="a clip and whether it is sped up; two clips of the same frames follow each other",
            figures=(
                Figure(
                    "accuracy",
                    "share of the clips, every frame (f = 1) or every second one (f = 2), that are told right; "
                    "chance is 0.5",
                    better="higher",
                ),
                Figure(
                    "pair_accuracy",
                    "share of the pairs of which the clip with f = 2 has the higher probability of being sped up",
                    better="higher",
                ),
                Figure("cross_entropy", "mean of the clips' (scikit-learn)", "nats", "lower"),
                *(
                    Figure(
                        f"{feature}_accuracy",
                        f"a logistic regression on {words}",
                        where="where the clips are of the run's own data",
                    )
                    for feature, words in (
                        ("mean_frame", "the mean frame, grey, 16x16"),
                        ("frame_difference", "the mean absolute difference of consecutive frames"),
                        ("optical_flow", "the mean length of the optical flow (Farneback, OpenCV)"),
                    )
                ),
            ),
            history=(_ACCURACY, _LOSS),
            best=("val_accuracy", "val_loss", "loss"),
            clips=512,
            apps=("evaluate", "speed", "speedup", "saliency", "embed", "retrieve"),
        ),
    ),
)

METRICS = Registry(MetricSpec, ())

REGISTRIES = {
    registry.spec_type.noun: registry
    for registry in (MODELS, LOSSES, SOURCES, SAMPLERS, CALLBACKS, OPTIMIZERS, TASKS, METRICS)
}


def task_of(model: ModelSpec, loss: LossSpec) -> TaskSpec:
    """Return what a model is trained for by a loss.

    The model's own word counts where its own loss trains it, then the loss's; else its kind tells.

    Raises:
        UnknownNameError: nothing has the name of that task.
        PluginError: the plugin that offers the task does not load.
    """
    name = (model.task if loss.name == model.loss else "") or loss.task
    if name:
        return TASKS.get(name)
    return next(entry.spec for entry in TASKS.offered() if entry.spec and entry.spec.kind == model.kind)


def serving(app: str) -> list[str]:
    """Return the tasks whose runs a verb takes, of those that are known without importing a plugin."""
    return [entry.name for entry in TASKS.offered() if entry.spec and app in entry.spec.apps]


def metrics_of(task: TaskSpec) -> list[MetricSpec]:
    """Return the registered metrics that a task's evaluation includes: those that it names, then those that name it.

    Raises:
        UnknownNameError: the task names a metric that nobody offers.
        PluginError: one that it names does not load. Others that do not load are left out.
    """
    own = [METRICS.get(name) for name in task.metrics]
    return own + [spec for spec in _specs(METRICS) if task.name in spec.tasks and spec not in own]


def better(column: str, task: TaskSpec | None = None) -> str:
    """Return which values of a column of a history are better, "higher" or "lower"; "" where nobody says.

    The task's figures count first, then the built-in ones, plugins', and for a figure that nobody declares what is usual.

    Args:
        column: such as val_psnr.
        task: of the run, where it is known.
    """
    builtin = [entry.spec for entry in TASKS.offered() if entry.spec]
    for tasks in filter(None, ([task] if task else [], builtin, _others(builtin))):
        figures = [f for each in tasks for f in (*each.history, *each.figures)]
        if figure := figure_of(column, (f for f in figures if f.better in ("higher", "lower"))):
            return figure.better
    metrics = [spec.figure for spec in _specs(METRICS)]
    if figure := figure_of(column, (f for f in metrics if f.better in ("higher", "lower"))):
        return figure.better
    return next((which for which, endings in _USUAL.items() if column.endswith(endings)), "")


# Endings of names, of a figure that nobody declares.
_USUAL = {
    "higher": ("psnr", "ssim", "accuracy", "diversity"),
    "lower": ("loss", "l1", "mse", "error", "entropy"),
}


def panel(metric: str, task: TaskSpec | None = None) -> str:
    """Return the panel of a run's curves that a metric belongs to, without "val_" or "test_NAME_"; its own name for its own."""
    tasks = [task] if task else []
    tasks += [entry.spec for entry in TASKS.offered() if entry.spec]
    figures = [figure for each in tasks for figure in each.history]
    for figure in figures:
        if metric == figure.name:
            return figure.panel or metric
    for figure in figures:
        # A discriminator's own, such as d_loss_image.
        if figure.panel and (metric.startswith(figure.name) or metric.endswith(figure.name)):
            return figure.panel
    return metric


def _others(tasks: list[TaskSpec]) -> list[TaskSpec]:
    return [spec for spec in _specs(TASKS) if spec not in tasks]


def _specs(registry: Registry) -> list:
    """Return all specs of a registry; a plugin's that does not load is left out."""
    specs = []
    for entry in registry.offered():
        with contextlib.suppress(PluginError):
            specs.append(registry.load(entry))
    return specs


def list_models(pattern: str = "*") -> list[str]:
    """Return the registered models' names, built-ins and plugins', without importing any.

    Args:
        pattern: shell-style wildcards, such as "*_ae".

    Example:

        >>> import kvzoo
        >>> kvzoo.list_models("gru_*")
        ['gru_ae']
    """
    return MODELS.names(pattern)


def register(spec: Spec) -> None:
    """Add a model, loss, task, metric, source, sampler or callback from code: the same as a plugin's entry point.

    Raises:
        InputError: `spec` is not a spec, or its name is taken.

    Example:

        >>> import kvzoo
        >>> spec = kvzoo.ModelSpec(
        ...     name="tiny_ae",
        ...     kind="reconstructor",
        ...     loss="mse",
        ...     builder="kvzoo.models.conv3d_ae:conv3d_ae",
        ...     options={"frames": kvzoo.Option("int", 16, "frames of a clip", minimum=1)},
        ... )
        >>> kvzoo.register(spec)
        >>> kvzoo.list_models("tiny_a*")
        ['tiny_ae']
    """
    registry = REGISTRIES.get(getattr(spec, "noun", None))
    if registry is None:
        raise InputError(f"register: a spec is wanted, such as ModelSpec(…). Received: {type(spec).__name__}")
    registry.register(spec)
