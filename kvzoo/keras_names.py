"""Keras's optimizers and learning-rate schedules as recipes name them, without importing Keras.

A test compares these tables with the signatures of the installed Keras.
"""

from kvzoo.options import Option

SHARED = {
    "weight_decay": Option("float", None, "decoupled weight decay (not `fit.l2`)", minimum=0),
    "clipnorm": Option("float", None, "clip each gradient to this norm", minimum=0),
    "clipvalue": Option("float", None, "clip the values of gradients to this", minimum=0),
    "global_clipnorm": Option("float", None, "clip all gradients together to this norm", minimum=0),
    "use_ema": Option("bool", False, "use the moving average of the weights at the end"),
    "ema_momentum": Option("float", 0.99, "momentum of that average", minimum=0, maximum=1),
    "ema_overwrite_frequency": Option("int", None, "steps between overwriting the weights with it", minimum=1),
    "gradient_accumulation_steps": Option("int", None, "number of steps whose gradients are averaged", minimum=2),
}
_EPSILON = {"epsilon": Option("float", 1e-7, "added to the denominator", minimum=0)}
_BETAS = {
    "beta_1": Option("float", 0.9, "decay of the first moment", minimum=0, maximum=1),
    "beta_2": Option("float", 0.999, "decay of the second moment", minimum=0, maximum=1),
}
_ADAM = {**_BETAS, **_EPSILON, **SHARED}
_AMSGRAD = {"amsgrad": Option("bool", False, "keep the largest second moment")}
_RHO = {"rho": Option("float", 0.9, "decay of the squared gradient", minimum=0, maximum=1)}
_MOMENTUM = {"momentum": Option("float", 0.0, "momentum", minimum=0, maximum=1)}

# name in a recipe: (class in keras.optimizers, options but for the learning rate)
OPTIMIZERS = {
    "adam": ("Adam", _ADAM | _AMSGRAD),
    "adamw": (
        "AdamW",
        _ADAM | _AMSGRAD | {"weight_decay": Option("float", 0.004, "decoupled weight decay", minimum=0)},
    ),
    "adamax": ("Adamax", _ADAM),
    "nadam": ("Nadam", _ADAM),
    "lamb": ("Lamb", _ADAM),
    "lion": (
        "Lion",
        _BETAS
        | SHARED
        | {
            "beta_1": Option("float", 0.9, _BETAS["beta_1"].help, minimum=1e-6, maximum=1),
            "beta_2": Option("float", 0.99, _BETAS["beta_2"].help, minimum=0, maximum=1),
        },
    ),
    "sgd": ("SGD", _MOMENTUM | {"nesterov": Option("bool", False, "Nesterov momentum")} | SHARED),
    "rmsprop": (
        "RMSprop",
        _RHO | _MOMENTUM | _EPSILON | {"centered": Option("bool", False, "normalize by the variance")} | SHARED,
    ),
    "adadelta": (
        "Adadelta",
        _RHO | {"rho": Option("float", 0.95, _RHO["rho"].help, minimum=0, maximum=1)} | _EPSILON | SHARED,
    ),
    "adagrad": (
        "Adagrad",
        {"initial_accumulator_value": Option("float", 0.1, "initial sum of squares", minimum=0)} | _EPSILON | SHARED,
    ),
}

_INITIAL = {"initial_learning_rate": Option("float", None, "learning rate at step 0", minimum=0, required=True)}
_STEPS = {"decay_steps": Option("int", None, "steps of the decay; by default `fit.steps`", minimum=1)}
_RATE = {
    "decay_rate": Option("float", None, "factor of one decay", minimum=0, required=True),
    "staircase": Option("bool", False, "decay in steps"),
}
_ALPHA = {"alpha": Option("float", 0.0, "last learning rate as a share of the first", minimum=0, maximum=1)}

SCHEDULES = {
    "CosineDecay": _INITIAL
    | _STEPS
    | _ALPHA
    | {
        "warmup_target": Option("float", None, "learning rate after the warm-up", minimum=0),
        "warmup_steps": Option("int", 0, "steps of the warm-up", minimum=0),
    },
    "CosineDecayRestarts": _INITIAL
    | {"first_decay_steps": Option("int", None, "steps of the first decay; by default `fit.steps`", minimum=1)}
    | {
        "t_mul": Option("float", 2.0, "growth of the decay's length", minimum=1),
        "m_mul": Option("float", 1.0, "growth of the first learning rate", minimum=0),
    }
    | _ALPHA,
    "ExponentialDecay": _INITIAL | _STEPS | _RATE,
    "InverseTimeDecay": _INITIAL | _STEPS | _RATE,
    "PolynomialDecay": _INITIAL
    | _STEPS
    | {
        "end_learning_rate": Option("float", 1e-4, "last learning rate", minimum=0),
        "power": Option("float", 1.0, "power of the polynomial", minimum=0),
        "cycle": Option("bool", False, "restart beyond the last step"),
    },
    "PiecewiseConstantDecay": {
        "boundaries": Option("list[int]", None, "steps at which the rate changes", required=True),
        "values": Option("list[float]", None, "learning rates, one more than boundaries", required=True),
    },
}
