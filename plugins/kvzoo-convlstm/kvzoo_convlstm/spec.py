"""What kvzoo is told before anything heavy is imported."""

from kvzoo.registry import ModelSpec, Option, SourceSpec

CONVLSTM_AE = ModelSpec(
    name="convlstm_ae",
    builder="kvzoo_convlstm.convlstm_ae:convlstm_ae",
    summary="frames to feature maps, three convolutional LSTMs over them, back to frames",
    kind="reconstructor",
    loss="mse",
    options={
        "frames": Option("int", 10, "frames of a clip", minimum=1),
        "image_size": Option("int", 227, "height and width in pixels", minimum=8),
        "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
        "width": Option(
            "int", 64, "channels of the feature maps; half as many in the narrowest", minimum=2, multiple_of=2
        ),
    },
    tiny={"frames": 2, "image_size": 16, "width": 24},
    optimizer={"name": "adam", "learning_rate": 1e-3, "epsilon": 1e-6},
    parameters={"network": 1_068_225},
    feature_layer="code",
    causal=True,
    paper='Chong and Tay, "Abnormal Event Detection in Videos using Spatiotemporal Autoencoder", ISNN 2017, '
    "arXiv 1701.01546",
    licence="Apache-2.0",
)

BOUNCING_DIGITS = SourceSpec(
    name="bouncing_digits",
    builder="kvzoo_convlstm.bouncing_digits:BouncingDigits",
    summary="handwritten digits that drift over black and bounce off the edges, as in Moving MNIST",
    options={
        "videos": Option("int", 240, "number of videos", minimum=1),
        "seconds": Option("float", 2.0, "length of a video, at 10 frames a second", minimum=0.1),
        "digits": Option("int", 2, "digits in a video", minimum=1, maximum=4),
        "pools": Option(
            "int", 12, "parts that the 1,797 handwritten images fall into, none shared", minimum=1, maximum=60
        ),
        "seed": Option("int", 0, "seed of digits and paths", minimum=0),
    },
    version=1,
    labels=True,
    groups="pool of handwritten images",
)
