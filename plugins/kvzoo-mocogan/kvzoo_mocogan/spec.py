"""What kvzoo is told before anything heavy is imported."""

from kvzoo.registry import ModelSpec, Option

MOCOGAN = ModelSpec(
    name="mocogan",
    builder="kvzoo_mocogan.mocogan:mocogan",
    summary="noise to a clip, frame by frame: one code of its content, a GRU's path of motion codes",
    kind="generator",
    loss="adversarial",
    discriminators={
        "image": "kvzoo_mocogan.mocogan:image_discriminator",
        "video": "kvzoo_mocogan.mocogan:video_discriminator",
    },
    options={
        "frames": Option("int", 16, "frames of a clip", minimum=13),
        "image_size": Option("int", 64, "height and width in pixels", minimum=16, multiple_of=16),
        "channels": Option("int", 3, "1 (grey) or 3 (RGB)", choices=(1, 3)),
        "content_dim": Option("int", 50, "numbers of the content code, one for a clip", minimum=1),
        "motion_dim": Option("int", 10, "numbers of the motion code, one for each frame", minimum=1),
        "width": Option("int", 64, "filters of the last hidden layer", minimum=1),
        "noise_sigma": Option(
            "float", 0.0, "standard deviation of noise before the discriminators' convolutions", minimum=0
        ),
    },
    tiny={"frames": 13, "image_size": 16, "content_dim": 6, "motion_dim": 3, "width": 4},
    optimizer={"name": "adam", "learning_rate": 2e-4, "beta_1": 0.5},
    l2=1e-5,
    parameters={"network": 3_249_684, "image": 663_296, "video": 2_650_880},
    paper='Tulyakov et al., "MoCoGAN: Decomposing Motion and Content for Video Generation", CVPR 2018, arXiv 1707.04993',
    licence="Apache-2.0",
)
