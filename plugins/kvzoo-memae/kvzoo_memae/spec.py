"""What kvzoo is told before anything heavy is imported."""

from kvzoo.registry import CallbackSpec, LossSpec, ModelSpec, Option

MEMAE = ModelSpec(
    name="memae",
    builder="kvzoo_memae.memae:memae",
    summary="3D convolutions to a small map, each of its places replaced by a mixture of remembered ones, and back",
    kind="reconstructor",
    loss="mse_entropy",
    options={
        "frames": Option("int", 16, "frames of a clip", minimum=8, multiple_of=8),
        "image_size": Option("int", 256, "height and width in pixels", minimum=16, multiple_of=16),
        "channels": Option("int", 1, "1 (grey) or 3 (RGB)", choices=(1, 3)),
        "items": Option("int", 2000, "N, items in the memory", minimum=2),
        "shrink": Option(
            "float", 0.0025, "weights up to this are 0; the paper's text: from 1/N to 3/N", minimum=0, maximum=1
        ),
        "similarity": Option(
            "str",
            "dot",
            "of a query and an item: dot, as the authors' code has it, or cosine",
            choices=("dot", "cosine"),
        ),
        "width": Option(
            "int", 96, "filters of the first convolution; an item has 8/3 as many", minimum=3, multiple_of=3
        ),
    },
    tiny={"frames": 8, "image_size": 16, "items": 12, "shrink": 0.05, "width": 3},
    optimizer={"name": "adam", "learning_rate": 1e-4},
    parameters={"network": 6_491_585},
    feature_layer="recalled",
    paper='Gong et al., "Memorizing Normality to Detect Anomaly: Memory-augmented Deep Autoencoder for Unsupervised '
    'Anomaly Detection", ICCV 2019, arXiv 1904.02639 (code donggong1/memae-anomaly-detection)',
    licence="Apache-2.0",
)

MSE_ENTROPY = LossSpec(
    name="mse_entropy",
    builder="kvzoo_memae.mse_entropy:MeanSquaredErrorAndEntropy",
    summary="mse, and the entropy of how a memory is addressed, so that few items are mixed",
    options={"entropy_weight": Option("float", 2e-4, "weight of the entropy, in nats", minimum=0)},
    kinds=("reconstructor",),
    sampler="window",
    example=".fit(clips)",
)

MEMORY_USE = CallbackSpec(
    name="memory_use",
    builder="kvzoo_memae.memory_use:MemoryUse",
    summary="adds to the history how many items of a memory are read, and warns where it has collapsed",
    options={"least": Option("float", 0.02, "share of the items; it warns where fewer are read", minimum=0, maximum=1)},
)
