"""The built-in specs, data and "module:function" strings, and queries across groups. Standard library only."""

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
    "noise_dim": Option("int", 100, "size of the noise vector", minimum=1),
    "width": Option("int", 64, "filters of the last hidden layer", minimum=1),
    "two_stream": Option("bool", True, "add a still background stream; false is the one-stream ablation"),
}
_MASK_L1 = Term("kvzoo.models.videogan:mask_l1", 0.1, maps=("mask",), help="mean of the mask; penalizes foreground")

# Options of the samplers that cut inputs and targets.
_AUGMENTED = {
    "jitter": Option("int", 0, "read frames at image_size + jitter pixels, then crop at random", minimum=0),
    "mirror": Option("bool", False, "mirror half of the examples"),
}

MODELS = Registry(
    ModelSpec,
    (
        ModelSpec(
            name="gru_ae",
            builder="kvzoo.models.gru_ae:gru_ae",
            summary="frame autoencoder with a GRU over the latents",
            kind="reconstructor",
            loss="mse",
            options={
                "frames": Option("int", 4, "frames of a clip", minimum=1),
                "image_size": Option("int", 64, "height and width in pixels", minimum=16, multiple_of=16),
                "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "latent_dim": Option("int", 64, "values per encoded frame", minimum=1),
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
            summary="3D convolutional autoencoder with one latent vector per clip",
            kind="reconstructor",
            loss="mse",
            options={
                "frames": Option("int", 16, "frames of a clip", minimum=16, multiple_of=16),
                "image_size": Option("int", 128, "height and width in pixels", minimum=16, multiple_of=16),
                "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "latent_dim": Option("int", 128, "values per encoded clip", minimum=1),
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
            summary="clips from noise: a moving foreground masked over a still background",
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
            summary="clips from noise and a class: videogan with a labelled foreground stream",
            kind="generator",
            loss="adversarial",
            discriminators={"discriminator": "kvzoo.models.videogan:videogan_label_discriminator"},
            maps=("foreground", "mask", "background"),
            terms={"mask_l1": _MASK_L1},
            options={**_VIDEOGAN_OPTIONS, "classes": Option("int", 4, "number of classes", minimum=2)},
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
            summary="a still image to the clip that follows it",
            kind="generator",
            loss="adversarial",
            discriminators={"discriminator": "kvzoo.models.videogan:videogan_image_discriminator"},
            maps=("foreground", "mask", "background"),
            terms={
                "first_frame_l1": Term(
                    "kvzoo.models.videogan:first_frame_l1",
                    10.0,
                    help="mean absolute error of the first frame against the image",
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
            summary="n frames to m frames by a U-Net with a patch discriminator",
            kind="translator",
            loss="conditional",
            discriminators={"discriminator": "kvzoo.models.pix2pix:pix2pix_discriminator"},
            options={
                "frames_in": Option("int", 2, "input frames", minimum=1),
                "frames_out": Option("int", 5, "output frames", minimum=1),
                "image_size": Option("int", 128, "height and width in pixels", choices=(32, 64, 128, 256, 512)),
                "channels": Option(
                    "int", 3, "channels of an input frame; sources provide 1 (grey) or 3 (RGB)", minimum=1
                ),
                "channels_out": Option("int", None, "channels of an output frame; default: as the input", minimum=1),
                "width": Option("int", 64, "filters of the first convolution", minimum=1),
                "dropout": Option(
                    "float", 0.5, "dropout rate of the decoder's first three layers", minimum=0, maximum=0.9
                ),
                "patch": Option(
                    "int", 70, "receptive field of a discriminator logit, in pixels", choices=(1, 16, 34, 70, 142, 286)
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
            summary="small 3D convolutional clip classifier",
            kind="classifier",
            loss="cross_entropy",
            options={
                "frames": Option("int", 16, "frames of a clip", minimum=1),
                "image_size": Option("int", 64, "height and width in pixels", minimum=1),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "classes": Option("int", 6, "number of classes", minimum=2),
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
            summary="interpolates frames by flow, visibility blending and a residual",
            kind="translator",
            loss="conditional",
            loss_options={"gan_weight": 0.0},
            maps=("flow", "visibility", "trust", "warped"),
            terms={
                "warped_l1": Term(
                    "kvzoo.models.flow_interpolator:warped_l1",
                    50.0,
                    maps=("warped",),
                    help="absolute error of the blend before the residual, on -1..1, over four sizes",
                ),
                "smoothness": Term(
                    "kvzoo.models.flow_interpolator:smoothness",
                    0.0,
                    maps=("flow",),
                    help="mean difference of neighbouring flows, in pixels",
                ),
            },
            options={
                "frames_in": Option("int", 2, "input frames: the first and the last", choices=(2,)),
                "frames_out": Option("int", 5, "output frames between them", minimum=1),
                "image_size": Option("size", 64, "height and width in pixels", minimum=8, multiple_of=8),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "channels_out": Option("int", None, "must equal channels; default: channels", choices=(1, 3)),
                "width": Option("int", 32, "filters at half resolution", minimum=1),
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
            summary="predicts whether a clip is sped up",
            kind="classifier",
            loss="binary_speed",
            options={
                "frames": Option("int", 64, "frames of a training clip; any number at inference", minimum=1),
                "image_size": Option(
                    "int", 224, "height and width in pixels in training; any size at inference", minimum=1
                ),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "width": Option("float", 1.0, "multiplies the filters of every convolution", minimum=0.01),
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
            summary="speednet on an I3D backbone without gates: the paper's comparison",
            kind="classifier",
            loss="binary_speed",
            options={
                "frames": Option("int", 64, "frames of a training clip; any number at inference", minimum=1),
                "image_size": Option(
                    "int", 224, "height and width in pixels in training; any size at inference", minimum=1
                ),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "width": Option("float", 1.0, "multiplies the filters of every convolution", minimum=0.01),
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
            summary="self-gated separable 3D convolutions, the backbone of speednet",
            kind="classifier",
            loss="cross_entropy",
            options={
                "frames": Option("int", 64, "frames of a training clip; any number at inference", minimum=1),
                "image_size": Option(
                    "int", 224, "height and width in pixels in training; any size at inference", minimum=1
                ),
                "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
                "classes": Option("int", 400, "number of classes", minimum=2),
                "width": Option("float", 1.0, "multiplies the filters of every convolution", minimum=0.01),
                "temporal_stride": Option("int", 8, "8 as in the paper, 1 as in speednet", choices=(1, 8)),
                "spatial_stride": Option("int", 32, "32 as in the paper, 16 as in speednet", choices=(16, 32)),
                "gates": Option("bool", True, "self-gating; false is S3D"),
                "convolutions": Option("str", "separable", "full without gates is I3D", choices=("separable", "full")),
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
            summary="mean squared reconstruction error on values in -1..1",
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
            summary="binary cross-entropy of sped-up against normal clips, in nats",
            kinds=("classifier",),
            sampler="speed_pair",
            example=".fit(clips, labels), 1 = sped up",
            task="speediness",
        ),
        LossSpec(
            name="adversarial",
            builder="kvzoo.losses.adversarial:Adversarial",
            summary="generator and discriminators trained in alternation",
            options={
                "variant": Option(
                    "str",
                    "log",
                    "the GAN objective",
                    choices=("log", "hinge", "least_squares", "wasserstein_gp"),
                ),
                "gradient_penalty": Option(
                    "float", None, "weight of the wasserstein_gp penalty; default: 10", minimum=0
                ),
                "label_smoothing": Option(
                    "float", 0.0, "for log: the target of real clips is 1 minus this", minimum=0, maximum=0.5
                ),
                "discriminator_steps": Option("int", 1, "discriminator updates per generator update", minimum=1),
                "discriminator_learning_rate": Option(
                    "float",
                    None,
                    "of the discriminators, initial where scheduled; default: the generator's",
                    minimum=0,
                ),
                "spectral_norm": Option("bool", False, "divide the discriminators' kernels by their spectral norm"),
                "class_weight": Option(
                    "float", 1.0, "weight of the class head's cross-entropy, where a discriminator has one", minimum=0
                ),
                "terms": Option("dict[str, float]", None, "weights of the model's loss terms by name"),
            },
            kinds=("generator",),
            sampler="window",
            example=".fit(clips), or .fit(clips, labels) if the generator or a discriminator takes labels",
            task="generation",
        ),
        LossSpec(
            name="conditional",
            builder="kvzoo.losses.conditional:Conditional",
            summary="L1 and a discriminator conditioned on the inputs, as in pix2pix",
            options={
                "gan_weight": Option(
                    "float", 1.0, "weight of the adversarial loss; 0 trains without discriminators", minimum=0
                ),
                "l1_weight": Option("float", 100.0, "weight of the mean absolute error on -1..1", minimum=0),
                "g_steps": Option("int", 1, "network updates per discriminator update", minimum=1),
                "test_time": Option(
                    "str",
                    "inference",
                    "mode at inference; paper: dropout on, batch norm with batch statistics",
                    choices=("inference", "paper"),
                ),
                "terms": Option("dict[str, float]", None, "weights of the model's loss terms by name"),
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
            summary="synthetic figures that wave, jump, bend and walk in still rooms",
            options={
                "videos": Option("int", 240, "number of videos", minimum=1),
                "people": Option("int", 24, "number of people", minimum=1),
                "seconds": Option("float", 2.4, "length of a video", minimum=0.2),
                "actions": Option("list[str]", None, "actions; default: all"),
                "rooms": Option("int", None, "rooms shared by the videos; default: one per video", minimum=1),
                "cameras": Option(
                    "str",
                    "even",
                    "even: framed to the person; varied: close-up to far away",
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
            summary="synthetic actions interrupted by another or an intruder, labelled per frame",
            options={
                "videos": Option("int", 60, "number of videos", minimum=1),
                "people": Option("int", 12, "number of people", minimum=1),
                "seconds": Option("float", 8.0, "length of a video", minimum=3),
                "actions": Option("list[str]", None, "normal actions; default: wave_two_hands, walk and jumping_jack"),
                "anomalies": Option("list[str]", None, "what interrupts them; default: bend, jump and intruder"),
                "part": Option(
                    "str", "normal", "normal: without anomalies; test: most with one or two", choices=("normal", "test")
                ),
                "rooms": Option("int", None, "rooms shared by the videos; default: one per video", minimum=1),
                "seed": Option("int", 0, "seed of people, rooms, cameras and anomalies", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="spliced_strips",
            builder="kvzoo.data.spliced_strips:SplicedStrips",
            summary="strips of normal actions, and test videos spliced with an anomalous one",
            options={
                "path": Option("path", help="folder of images, one subfolder per action", required=True),
                "anomaly": Option("str", help="the anomalous action; the others are normal", required=True),
                "person": Option("str", r"(person\d+)", "regular expression for the person in a file's path"),
                "part": Option(
                    "str",
                    "normal",
                    "normal: clips of the normal actions; test: of other people, most with an anomaly",
                    choices=("normal", "test"),
                ),
                "videos": Option("int", 36, "videos to splice for the test part", minimum=1),
                "test_people": Option("list[str]", None, "people of the test part; default: chosen at random"),
                "test_share": Option(
                    "float", 0.3, "fraction of the people in the test part", minimum=0.001, maximum=0.999
                ),
                "layout": Option(
                    "str", "auto", "arrangement of the frames in an image", choices=("auto", "horizontal", "vertical")
                ),
                "native_fps": Option("float", 25.0, "fps of the images' clips", minimum=0.001),
                "seed": Option("int", 0, "seed of the test people and of the splices", minimum=0),
            },
            version=1,
            labels=True,
            groups="person",
        ),
        SourceSpec(
            name="moving_shapes",
            builder="kvzoo.data.worlds.moving_shapes:MovingShapes",
            summary="synthetic large shapes moving in front of still walls, with exact masks",
            options={
                "videos": Option("int", 240, "number of videos", minimum=1),
                "shapes": Option("int", 24, "number of shapes", minimum=1),
                "seconds": Option("float", 2.4, "length of a video", minimum=0.2),
                "motions": Option("list[str]", None, "any of slide, bounce, circle, diagonal; default: all"),
                "forms": Option("list[str]", None, "any of disc, square, triangle, star, ring; default: all"),
                "walls": Option("int", 8, "number of walls", minimum=1),
                "seed": Option("int", 0, "seed of shapes, walls and paths", minimum=0),
            },
            version=1,
            labels=True,
            groups="shape",
        ),
        SourceSpec(
            name="falling_bodies",
            builder="kvzoo.data.worlds.falling_bodies:FallingBodies",
            summary="synthetic balls and tyres that bounce, fly, swing and roll under gravity",
            options={
                "videos": Option("int", 240, "number of videos", minimum=1),
                "bodies": Option("int", 24, "number of balls and tyres", minimum=1),
                "seconds": Option("float", 4.0, "length of a video", minimum=0.2),
                "motions": Option("list[str]", None, "any of bounce, throw, swing, roll, hop; default: all"),
                "seed": Option("int", 0, "seed of bodies, rooms, cameras and motions", minimum=0),
            },
            version=1,
            labels=True,
            groups="body",
        ),
        SourceSpec(
            name="moving_scenes",
            builder="kvzoo.data.worlds.moving_scenes:MovingScenes",
            summary="synthetic photo-like layered scenes, with exact flow and visibility",
            options={
                "videos": Option("int", 4000, "number of videos", minimum=1),
                "frames": Option("int", 3, "frames of a video", minimum=2),
                "motion": Option(
                    "float",
                    0.25,
                    "largest displacement from first to last frame, as a fraction of the side",
                    minimum=0.0,
                    maximum=0.5,
                ),
                "effects": Option("bool", True, "add lighting, motion blur, softness, noise and compression"),
                "seed": Option("int", 0, "seed of the scenes", minimum=0),
            },
            version=1,
            groups="scene",
        ),
        SourceSpec(
            name="speed_spans",
            builder="kvzoo.data.worlds.speed_spans:SpeedSpans",
            summary="synthetic videos with slowed, normal and sped-up spans, labelled per frame",
            options={
                "world": Option(
                    "str", "stick_actions", "source of the content", choices=("stick_actions", "falling_bodies")
                ),
                "videos": Option("int", 12, "number of videos", minimum=1),
                "seconds": Option("float", 18.0, "playing time of a video", minimum=0.2),
                "speeds": Option("list[float]", None, "speeds of the spans; default: 0.5, 1 and 2"),
                "spans": Option("int", 6, "spans per video", minimum=1),
                "seed": Option("int", 0, "seed of the world and of the spans", minimum=0),
            },
            version=1,
            labels=True,
            groups="person or body",
        ),
        SourceSpec(
            name="strips",
            builder="kvzoo.data.strips:Strips",
            summary="folder of images, one per clip, with frames side by side or stacked",
            options={
                "path": Option("path", help="folder of images", required=True),
                "layout": Option(
                    "str", "auto", "arrangement of the frames in an image", choices=("auto", "horizontal", "vertical")
                ),
                "frames_per_image": Option(
                    "int", None, "frames in an image; default: as many as are square", minimum=1
                ),
                "order": Option("list[int]", None, "time index of each frame in the image, e.g. 1 2 3 4 5 0 6"),
                "native_fps": Option("float", 25.0, "fps of the images' clips", minimum=0.001),
            },
            labels=True,
        ),
        SourceSpec(
            name="frames",
            builder="kvzoo.data.frames:Frames",
            summary="folders of image sequences, one image per frame, as in MOT Challenge",
            options={
                "path": Option("path", help="folder of sequences", required=True),
                "native_fps": Option("float", None, "fps; default: from seqinfo.ini, or else 25", minimum=0.001),
            },
            labels=True,
        ),
        SourceSpec(
            name="pairs",
            builder="kvzoo.data.pairs:Pairs",
            summary="folders of input and target images or videos, matched by name",
            options={
                "path": Option("path", help="folder of inputs", required=True),
                "target_path": Option("path", help="folder of targets", required=True),
                "native_fps": Option("float", 25.0, "fps at which image pairs are shown", minimum=0.001),
            },
            labels=True,
        ),
        SourceSpec(
            name="npy",
            builder="kvzoo.data.npy:Npy",
            summary="clips in one array file, such as Moving MNIST",
            options={
                "path": Option("path", help="uint8 array, FILE.npy", required=True),
                "axes": Option("str", "auto", "order of the array's axes", choices=("auto", "tnhw", "nthw", "nthwc")),
                "native_fps": Option("float", 10.0, "fps of the clips", minimum=0.001),
            },
        ),
        SourceSpec(
            name="hdf5",
            builder="kvzoo.data.hdf5:Hdf5",
            summary="store of decoded frames, written by `kvzoo data prepare`",
            options={
                "path": Option("path", help="the store, FILE.h5", required=True),
                "reader": Option(
                    "str",
                    "native",
                    "tfio: tensorflow-io in a tf.data graph; TensorFlow 2.16 only, resume is not exact",
                    choices=("native", "tfio"),
                ),
            },
            labels=True,
            groups="as it was prepared",
        ),
        SourceSpec(
            name="videos",
            builder="kvzoo.data.videos:Videos",
            summary="folder of video files, with labels from subfolders or a CSV",
            options={
                "path": Option("path", help="folder of video files", required=True),
                "csv": Option("path", None, "CSV with a path column, and optionally start, end (seconds) and label"),
                "layout": Option(
                    "str",
                    None,
                    "labels, groups and splits of a published dataset",
                    choices=("ucf101", "hmdb51", "kinetics"),
                ),
                "lists": Option("path", None, "with layout: its folder of split files, or its CSV"),
                "fold": Option("int", 1, "with layout: number of the split", minimum=1),
                "part": Option(
                    "str", "all", "with layout: the part to read", choices=("train", "test", "validate", "all")
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
            summary="consecutive frames from a random position",
        ),
        SamplerSpec(
            name="interpolate",
            builder="kvzoo.data.samplers:Interpolate",
            summary="first and last frame as inputs, those between as targets",
            options={
                **_AUGMENTED,
                "pan": Option("float", 0.0, "slide half of the crops by up to this many pixels per frame", minimum=0.0),
                "zoom": Option(
                    "float",
                    0.0,
                    "largest growth of such a crop per frame, as a fraction of its size",
                    minimum=0.0,
                    maximum=0.09,
                ),
            },
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="predict",
            builder="kvzoo.data.samplers:Predict",
            summary="consecutive frames as inputs, those that follow as targets",
            options=_AUGMENTED,
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="offsets",
            builder="kvzoo.data.samplers:Offsets",
            summary="chosen frames of a window as inputs and targets",
            options={
                "inputs": Option("list[int]", help="indices of the inputs in the window, from 0", required=True),
                "targets": Option("list[int]", help="indices of the targets in the window, from 0", required=True),
                "window": Option("int", None, "frames of the window; default: up to the last index", minimum=1),
                **_AUGMENTED,
            },
            makes="inputs and targets",
        ),
        SamplerSpec(
            name="speed_pair",
            builder="kvzoo.data.samplers:SpeedPair",
            summary="the same frames at normal speed and sped up, labelled 0 and 1",
            options={
                "same_batch": Option(
                    "bool", True, "return both clips; false: one of them, so that a batch mixes videos"
                ),
                "temporal": Option("bool", True, "random speeds in 1 to 1.2 and 1.7 to 2.2; false: exactly 1 and 2"),
                "spatial": Option("bool", True, "resize each batch to one of `sizes`; false: the model's own size"),
                "sizes": Option(
                    "list[int]", None, "sizes in pixels; default: 64 to 336, scaled by image_size / 224", minimum=1
                ),
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
_SSIM_WORDS = "mean SSIM over frames: 11-pixel Gaussian window, sigma 1.5, mean over channels (scikit-image)"
_SHARPNESS_WORDS = "mean variance of the Laplacian over frames (OpenCV)"


def _translation_figures() -> Iterable[Figure]:
    """Yield a translator's figures, and those of its baselines."""
    yield Figure("psnr", "mean PSNR over frames, capped at 100 for equal frames", "dB", "higher")
    yield Figure("ssim", _SSIM_WORDS, better="higher")
    yield Figure("sharpness", _SHARPNESS_WORDS)
    between = "where targets lie between inputs"
    baselines = {
        "cross_fade": ("the linear blend of the inputs before and after", between),
        "nearest": ("the input nearest in time", f"{between}, or both before and after"),
        "copy_last": ("the latest input", "where targets follow the inputs"),
    }
    for baseline, (words, where) in baselines.items():
        for name in ("psnr", "ssim", "sharpness"):
            yield Figure(f"{baseline}_{name}", f"{name} of the baseline: {words}", where=where)
    yield Figure("target_sharpness", "sharpness of the target frames")


TASKS = Registry(
    TaskSpec,
    (
        TaskSpec(
            name="reconstruction",
            builder="kvzoo.tasks.reconstruction:Reconstruction",
            summary="reconstruct the input clip",
            example="a clip",
            kind="reconstructor",
            figures=(
                Figure(
                    "mse",
                    "mean squared error of all values on 0 to 1; a quarter of the loss mse, which is on -1 to 1",
                    better="lower",
                    title="MSE",
                    form="{:.5f}",
                ),
                Figure(
                    "psnr",
                    "mean PSNR over clips, each from the error of the whole clip",
                    "dB",
                    "higher",
                    title="PSNR, dB",
                    form="{:.2f}",
                ),
                Figure("ssim", _SSIM_WORDS, better="higher", title="SSIM", form="{:.3f}"),
                Figure("sharpness", f"{_SHARPNESS_WORDS} of the output"),
                Figure("input_sharpness", "sharpness of the input"),
                Figure(
                    "sharpness_ratio",
                    "sharpness / input_sharpness: below 1 blurred, above 1 noisier than the input",
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
            summary="predict target frames from input frames",
            example="input frames and target frames",
            kind="translator",
            figures=tuple(_translation_figures()),
            history=(_PSNR, *_PLAYERS, Figure("l1", better="lower"), _LOSS),
            best=("val_psnr", "val_loss", "loss"),
            apps=("evaluate", "interpolate", "predict"),
        ),
        TaskSpec(
            name="generation",
            builder="kvzoo.tasks.generation:Generation",
            summary="generate clips from noise, a label or an image",
            example="a clip, with its label where the generator or a discriminator takes labels",
            kind="generator",
            figures=(
                Figure(
                    "frechet_distance",
                    "squared Fréchet distance between generated clips and half of the real ones, in feature space",
                    better="lower",
                ),
                Figure("real_frechet_distance", "frechet_distance between the two halves of the real clips"),
                Figure(
                    "diversity", "mean pairwise distance between generated clips, in feature space", better="higher"
                ),
                Figure("real_diversity", "diversity of the real clips"),
                Figure(
                    "frechet_ratio",
                    "frechet_distance / real_frechet_distance: 1 is as close as real clips",
                    better="nearer 1",
                ),
                Figure(
                    "diversity_ratio",
                    "diversity / real_diversity: near 0 all clips look alike",
                    better="nearer 1",
                ),
                Figure(
                    "mask",
                    "mean of the generated masks: 0 all background, 1 all foreground",
                    where="where the generator returns masks",
                ),
                Figure(
                    "mask_iou",
                    "IoU of mask > 0.5 and moving pixels: those that differ from their median over time by 0.1",
                    better="higher",
                    where="where the generator returns masks",
                ),
                Figure(
                    "class_accuracy",
                    "fraction of the generated clips that the judge assigns to the requested class",
                    better="higher",
                    where="with --judge",
                ),
            ),
            history=(*_PLAYERS, Figure("diversity", better="higher"), _LOSS),
            best=("val_loss", "diversity", "loss"),
            clips=512,
            apps=("evaluate", "generate"),
            note="Adversarial losses show which network is ahead, not the quality of the clips.",
        ),
        TaskSpec(
            name="classification",
            builder="kvzoo.tasks.classification:Classification",
            summary="predict the class of a clip",
            example="a clip and the index of its class",
            kind="classifier",
            figures=(
                Figure("accuracy", "fraction of clips whose highest logit is that of their class", better="higher"),
                Figure("balanced_accuracy", "mean accuracy over classes (scikit-learn)", better="higher"),
                Figure("cross_entropy", "mean over clips (scikit-learn)", "nats", "lower"),
            ),
            history=(_ACCURACY, _LOSS),
            best=("val_accuracy", "val_loss", "loss"),
            clips=512,
            apps=("evaluate", "judge", "embed", "retrieve"),
        ),
        TaskSpec(
            name="speediness",
            builder="kvzoo.tasks.speediness:Speediness",
            summary="tell sped-up clips from clips at normal speed",
            example="a clip and whether it is sped up; clips of the same frames in pairs",
            figures=(
                Figure(
                    "accuracy",
                    "fraction of correct clips, every frame (f = 1) or every second one (f = 2); chance is 0.5",
                    better="higher",
                ),
                Figure(
                    "pair_accuracy",
                    "fraction of pairs in which the clip with f = 2 is the likelier to be sped up",
                    better="higher",
                ),
                Figure("cross_entropy", "mean over clips (scikit-learn)", "nats", "lower"),
                *(
                    Figure(
                        f"{feature}_accuracy",
                        f"accuracy of a logistic regression on {words}",
                        where="on the run's own data",
                    )
                    for feature, words in (
                        ("mean_frame", "the mean frame, grey, 16x16"),
                        ("frame_difference", "the mean absolute difference of consecutive frames"),
                        ("optical_flow", "the mean magnitude of the optical flow (Farneback, OpenCV)"),
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
    """Return the task that a model is trained for by a loss.

    The model's own `task` counts where its own loss trains it, then that of the loss, then the task of its kind.

    Raises:
        UnknownNameError: no task has that name.
        PluginError: the plugin that offers the task does not load.
    """
    name = (model.task if loss.name == model.loss else "") or loss.task
    if name:
        return TASKS.get(name)
    return next(entry.spec for entry in TASKS.offered() if entry.spec and entry.spec.kind == model.kind)


def serving(app: str) -> list[str]:
    """Return the tasks whose runs a verb supports, of those that are known without importing a plugin."""
    return [entry.name for entry in TASKS.offered() if entry.spec and app in entry.spec.apps]


def metrics_of(task: TaskSpec) -> list[MetricSpec]:
    """Return the registered metrics that a task's evaluation includes: those that it names, then those that name it.

    Raises:
        UnknownNameError: the task names a metric that does not exist.
        PluginError: one that it names does not load. Others that do not load are left out.
    """
    own = [METRICS.get(name) for name in task.metrics]
    return own + [spec for spec in _specs(METRICS) if task.name in spec.tasks and spec not in own]


def better(column: str, task: TaskSpec | None = None) -> str:
    """Return which values of a column of a history are better, "higher" or "lower"; "" where that is unknown.

    The task's figures count first, then the built-in ones, then those of plugins; an undeclared figure goes by its name's ending.

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


# Usual endings of the names of figures that no task declares.
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
    """Return all specs of a registry except those that do not load."""
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
    """Register a model, loss, task, metric, source, sampler, callback or optimizer from code, as an entry point would.

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
        raise InputError(f"register: spec must be a spec, such as ModelSpec(…). Received: {type(spec).__name__}")
    registry.register(spec)
