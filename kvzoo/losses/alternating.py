"""What losses of several networks share: networks that are updated in turns, each by an optimizer of its own.

Keras's own train step takes one gradient of one loss. A step in turns needs the generator's output twice: the
discriminators learn from it, then it is scored by the discriminators as updated, and the generator learns from that. So
the generator runs once, and its gradients are taken later. Read from top to bottom:

    `AlternatingModel`   a step: a subclass's `alternate` calls the three methods after it
    `Players`            the optimizers of all networks as one
    `vjp`                run a function now, take its gradients later, on TensorFlow, JAX and PyTorch

A subclass writes its step as if variables could be changed at will; `vjp` and `AlternatingModel` carry that to the three
backends.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kvzoo.errors import InputError
from kvzoo.kernels import private
from kvzoo.kernels.accelerate import accelerate_optimizer
from kvzoo.kernels.bfloat16 import steady_bfloat16
from kvzoo.losses.base import VideoModel, short

BACKEND = keras.backend.backend()


class AlternatingModel(VideoModel):
    """A model of several networks that are updated in turns.

    A subclass implements two methods: `alternate(data)` updates the networks and the metrics, `score(data)` the
    metrics only. `data` is (x, y, None) as passed to `fit`, checked by `check_example`. Both return the logs.

    Args:
        networks: by name, the main one, "network", first; the others are its discriminators.
        spec, config, loss_name: as for every model.
        terms: weights of the spec's terms by name; the spec's own by default, 0 turns one off.
        discriminator_learning_rate: of the discriminators' optimizers, with a schedule its start; the main network's by
            default.

    Attributes:
        networks: as passed.
        discriminators: their names.
        view: the main network as a function (inputs by name, training) -> outputs by name: its own output as "clip", and
            each of the spec's maps that it has.
        terms: function and weight of each of the spec's terms in use, by name.
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        spec,
        config,
        loss_name,
        terms: Mapping[str, float] | None = None,
        discriminator_learning_rate: float | None = None,
    ):
        super().__init__(networks, spec, config, loss_name)
        self.networks = dict(networks)
        self.discriminators = tuple(name for name in networks if name != "network")
        self.discriminator_learning_rate = discriminator_learning_rate
        self._means: dict[str, keras.metrics.Mean] = {}

        maps = [name for name in spec.maps if name in {layer.name for layer in self.network.layers}]
        outputs = {"clip": self.network.output} | {name: self.network.get_layer(name).output for name in maps}
        self.view = View(keras.Model({x.name: x for x in self.network.inputs}, outputs, name="parts"), tuple(outputs))
        self.terms = {
            name: (spec.terms[name].load(), weight)
            for name, weight in spec.term_weights(terms).items()
            if weight and set(spec.terms[name].maps) <= set(maps)
        }

    # A step, as a subclass writes it

    def alternate(self, data) -> dict:
        """Update the networks and the metrics by one batch; return the logs."""
        raise NotImplementedError

    def score(self, data) -> dict:
        """Update the metrics by one batch of validation; return the logs."""
        raise NotImplementedError

    def updates(self, name: str) -> int:
        """Return how often a step updates a network."""
        return 1

    # What a step is made of

    def run_network(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Callable]:
        """Run the main network in training mode; its gradients are taken later, by `update_network`.

        Args:
            inputs: tensors by the names of the network's inputs.

        Returns:
            The outputs by name, which no gradient passes, and the pullback that `update_network` takes, once.
        """

        def run():
            outputs = self.view(inputs, training=True)
            return [outputs[name] for name in self.view.names], ()

        outputs, _, pullback = vjp(run, self.network.trainable_variables, (), self.network.variables)
        return {name: ops.stop_gradient(x) for name, x in zip(self.view.names, outputs, strict=True)}, pullback

    def update_discriminator(self, name: str, loss: Callable) -> None:
        """Update a discriminator by loss() -> (total, metrics), and record both."""
        network = self.networks[name]
        total, metrics, pullback = vjp(loss, network.trainable_variables, (), self.state_of(name))
        norm = self._update(name, lambda scale: pullback(scale)[0])
        logs = {"d_loss": total, **metrics, "d_norm": norm}
        self.record({self.metric_of(name, metric): value for metric, value in logs.items()})

    def update_network(self, outputs: Mapping[str, Any], pullback: Callable, loss: Callable) -> None:
        """Update the main network by loss(outputs by name) -> (total, metrics), and record both.

        Args:
            outputs, pullback: as `run_network` returned them. The loss's gradient with respect to the outputs is pulled back
                through the network by `pullback`.
            loss: may use the discriminators, which are not updated.
        """
        names, values = self.view.names, [outputs[name] for name in self.view.names]
        total, metrics, pullback_of_loss = vjp(
            lambda *outputs: loss(dict(zip(names, outputs, strict=True))),
            (),
            values,
            [variable for name in self.discriminators for variable in self.state_of(name)],
        )

        def gradients(scale):
            _, cotangents = pullback_of_loss(scale)
            # The loss may not depend on every output.
            cotangents = [ops.zeros_like(x) if g is None else g for g, x in zip(cotangents, values, strict=True)]
            return pullback(cotangents)[0]

        norm = self._update("network", gradients)
        self.record({"g_loss": total, **metrics, "g_norm": norm})

    def _update(self, name: str, gradients: Callable):
        """Apply gradients(scale of the loss) to a network; return their norm, float32."""
        scale = self.optimizer.scale(name)
        values = gradients(scale)
        norm = global_norm(values) / scale
        if isinstance(self.optimizer.players[name], keras.optimizers.LossScaleOptimizer):
            # It skips a step where float16 overflows: that is no failure, and counts as 0.
            norm = ops.where(ops.isfinite(norm), norm, ops.zeros_like(norm))
        self.optimizer.apply_to(name, values, self.networks[name].trainable_variables)
        return norm

    def state_of(self, name: str) -> list:
        """Return all variables that a discriminator reads or assigns to."""
        return self.networks[name].variables

    def add_terms(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the weighted sum of the spec's terms, and each term by its name, not weighted.

        Raises:
            InputError: a term reads an input or output that does not exist.
        """
        total, values = 0.0, {}
        for name, (function, weight) in self.terms.items():
            try:
                values[name] = function(inputs, outputs)
            except KeyError as error:
                raise InputError(
                    f"model {self.spec.name}: the term {name} reads {error}, which does not exist; "
                    f"inputs: {', '.join(inputs)}; outputs: {', '.join(outputs)}"
                ) from error
            total = total + weight * values[name]
        return total, values

    # Metrics

    def metric_of(self, name: str, metric: str) -> str:
        """Return the name of a discriminator's metric, which ends in the discriminator's where there are several."""
        return metric if len(self.discriminators) == 1 else f"{metric}_{name}"

    def add_means(self, *names: str) -> None:
        """Add metrics in this order: means over an epoch."""
        for name in names:
            self._means[name] = keras.metrics.Mean(name)

    @property
    def metrics(self):
        return list(self._means.values())

    def record(self, values: Mapping[str, Any], clips=None) -> None:
        """Update metrics by name; values that are means over `clips` clips count that often."""
        for name, value in values.items():
            self._means[name].update_state(value, clips)

    def results(self, names: Iterable[str]) -> dict:
        """Return the logs of these metrics."""
        return {name: self._means[name].result() for name in self._means if name in set(names)}

    # Optimizers

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=False,
    ):
        """Compile the model: every network gets its own copy of the optimizer.

        Args:
            optimizer: a Keras optimizer, not built yet, or its name.
            loss, loss_weights, metrics, weighted_metrics: None, as the model has its own.
            run_eagerly, steps_per_execution, jit_compile: as in `keras.Model.compile`.
            auto_scale_loss: not used: in mixed_float16 each network's loss has its own scale.

        Raises:
            InputError: something that training in turns does not support.
        """
        for name, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None:
                raise InputError(f"compile: {name}: the loss {self.loss_name} has its own. Received: {short(value)}")
        if BACKEND == "torch" and steps_per_execution != 1:
            raise InputError(f"compile: steps_per_execution must be 1 on PyTorch. Received: {steps_per_execution}")
        if BACKEND == "torch" and jit_compile is True:
            raise InputError(
                f"compile: jit_compile: the loss {self.loss_name} takes its gradients within the step, "
                "which torch.compile does not trace; leave it auto or false"
            )
        if BACKEND == "tensorflow":
            import tensorflow as tf

            if (replicas := tf.distribute.get_strategy().num_replicas_in_sync) > 1:
                raise InputError(
                    f"compile: the loss {self.loss_name} does not average over tf.distribute's replicas; "
                    f"keras.distribution on JAX does. Received: {replicas} replicas"
                )
        template = keras.optimizers.get(optimizer)
        variables = {name: network.trainable_variables for name, network in self.networks.items()}
        players = Players({name: self._player(template, name) for name in self.networks}, variables)
        super().compile(
            players,
            loss,
            loss_weights,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
        )
        players.build(self.trainable_variables)

    def _player(self, template: keras.optimizers.Optimizer, name: str) -> keras.optimizers.Optimizer:
        """Return a network's optimizer: a copy of the template, with the network's own learning rate."""
        player = accelerate_optimizer(type(template).from_config({**template.get_config(), "name": name}))
        ratio = 1.0
        schedule = private.learning_rate_of(player)
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        if name != "network" and self.discriminator_learning_rate is not None:
            if scheduled:
                ratio = self._rate_ratio(schedule)
            else:
                player.learning_rate = self.discriminator_learning_rate
        if scheduled and (ratio != 1 or self.updates(name) > 1):
            player.learning_rate = OfPlayer(schedule, self.updates(name), ratio)
        # Each player has its own scale, as their losses differ.
        half = self.dtype_policy.name == "mixed_float16"
        return keras.optimizers.LossScaleOptimizer(player, name=name) if half else player

    def _rate_ratio(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> float:
        """Return the discriminators' rate in parts of a scheduled one, so that it starts at their own.

        Raises:
            InputError: the schedule starts at 0.
        """
        start = float(ops.convert_to_numpy(schedule(0)))
        if not start:
            raise InputError(
                "learning_rate: a schedule that begins at 0 gives discriminator_learning_rate no proportion to keep; "
                "begin it above 0, or leave discriminator_learning_rate out"
            )
        return self.discriminator_learning_rate / start

    # What Keras calls

    def check_example(self, where, x, y, weights, look=True):
        if weights is not None:
            raise InputError(f"{where}: the loss {self.loss_name} does not support sample or class weights")

    def train_step(self, *arguments):
        return self._in_scope(lambda data: self.alternate(self.example("fit", data)), *arguments)

    def test_step(self, *arguments):
        return self._in_scope(lambda data: self.score(self.example("evaluate", data)), *arguments)

    def _in_scope(self, step: Callable, *arguments):
        """Run a step; on JAX, which passes its state in and expects it back, within a scope that holds it."""
        if BACKEND != "jax":
            with steady_bfloat16(self.compute_dtype):
                return step(*arguments)
        state, data = arguments
        groups = [self.trainable_variables, self.non_trainable_variables]
        groups += [self.optimizer.variables] * (len(state) == 4) + [self.metrics_variables]
        pairs = [
            (v, x) for group, values in zip(groups, state, strict=True) for v, x in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            logs = step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)


class View:
    """A network's outputs by name, as a function; Keras does not count its network among the model's layers.

    Args:
        network: takes a dict of inputs, returns a dict of outputs.
        names: of the outputs in a fixed order, as each backend sorts dicts in its own.
    """

    def __init__(self, network: keras.Model, names: tuple[str, ...]):
        self.network, self.names = network, names

    def __call__(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        return self.network(pick(self.network, inputs), training=training)


def pick(network: keras.Model, values: Mapping[str, Any]):
    """Return a network's inputs out of tensors by name, in the structure that it takes.

    Raises:
        KeyError: an input is missing.

    Example:
        >>> network = keras.Sequential([keras.Input((2,), name="noise"), keras.layers.Dense(1)])
        >>> pick(network, {"noise": 1, "label": 2})
        1
    """
    return keras.tree.map_structure(lambda x: values[x.name], network.input)


def share(flags):
    """Return the share of true values, a float32 scalar.

    Example:
        >>> float(share(ops.array([True, False, True, True])))
        0.75
    """
    return ops.mean(ops.cast(flags, "float32"))


def global_norm(gradients: Sequence):
    """Return the L2 norm of all gradients together, a float32 scalar; None counts as 0.

    Example:
        >>> float(global_norm([ops.array([3.0]), None, ops.array([[4.0]])]))
        5.0
    """
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients if g is not None]
    return ops.sqrt(sum(squares, ops.zeros(())))


class Players(keras.optimizers.Optimizer):
    """The optimizers of several networks as one, so that all their state is saved, resumed and, on JAX, passed on.

    Each is applied separately, by `apply_to`. `learning_rate` is that of the first; setting it sets the others' in
    proportion. `keras.optimizers.MultiOptimizer` has no learning rate to set and takes no `LossScaleOptimizer`.

    Args:
        optimizers: by the network's name.
        variables: trainable variables of each network.
    """

    def __init__(self, optimizers: Mapping[str, keras.optimizers.Optimizer], variables: Mapping[str, Sequence]):
        super().__init__(learning_rate=0.0, name="players")
        self.players = dict(optimizers)
        # Ids only: an optimizer counts variables among its attributes as its own.
        self._owner = {id(v): name for name, owned in variables.items() for v in owned}

    def build(self, variables):
        if self.built:
            return
        for name, player in self.players.items():
            player.build(self.owned(name, variables))
        super().build(variables)

    def owned(self, name: str, variables: Sequence) -> list:
        """Return which of the variables belong to one network."""
        return [v for v in variables if self._owner.get(id(v)) == name]

    @property
    def variables(self):
        return super().variables + [v for player in self.players.values() for v in player.variables]

    @property
    def learning_rate(self):
        return next(iter(self.players.values())).learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        if any(callable(private.learning_rate_of(getattr(p, "inner_optimizer", p))) for p in self.players.values()):
            raise InputError("learning_rate: a schedule sets it, so that nothing else can")
        before = float(ops.convert_to_numpy(self.learning_rate))
        for player in self.players.values():
            own = float(ops.convert_to_numpy(player.learning_rate))
            # From 0 there is no proportion to keep.
            player.learning_rate = rate * own / before if before else rate

    def scale(self, name: str):
        """Return the factor of a player's loss, a float32 scalar: 1 except in float16."""
        return ops.cast(self.players[name].scale_loss(ops.ones(())), "float32")

    def apply_to(self, name: str, gradients: Sequence, variables: Sequence) -> None:
        """Update one network."""
        player = self.players[name]
        if BACKEND == "torch":
            import torch

            with torch.no_grad():
                player.apply(list(gradients), list(variables))
            return
        if BACKEND != "jax" or not isinstance(player, keras.optimizers.LossScaleOptimizer):
            player.apply(list(gradients), list(variables))
            return
        # Its `apply` branches over assignments, which JAX cannot trace.
        weights, slots = player.stateless_apply(
            [v.value for v in player.variables], list(gradients), [v.value for v in variables]
        )
        for variable, value in zip([*variables, *player.variables], [*weights, *slots], strict=True):
            variable.assign(value)

    def apply(self, grads, trainable_variables=None):
        raise NotImplementedError("players are updated one by one, by apply_to")

    def step_done(self) -> None:
        """Count one step of all players."""
        self.iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        for name, player in self.players.items():
            player.finalize_variable_values(self.owned(name, var_list))


class OfPlayer(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over steps, for a player whose optimizer counts its updates.

    Args:
        schedule: of the main network, over steps.
        updates: the player's updates per step.
        share: the player's rate in parts of the main network's.
    """

    def __init__(self, schedule: Callable, updates: int = 1, share: float = 1.0):
        self.schedule, self.updates, self.share = schedule, updates, share

    def __call__(self, step):
        return self.share * self.schedule(step // self.updates)

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "updates": self.updates, "share": self.share}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])})


def vjp(
    function: Callable, variables: Sequence, inputs: Sequence, state: Sequence, twice: bool = False
) -> tuple[Any, Any, Callable]:
    """Run `function(*inputs)` once, and return how to pull gradients back through it later.

    Args:
        function: returns (output, auxiliary output): a tensor or a list of tensors that gradients pass, and any nest
            of tensors that they do not.
        variables: to take gradients with respect to; they may be assigned to before the gradients are taken.
        inputs: tensors to take gradients with respect to.
        state: all variables that the function may read or assign to; what it assigns is kept.
        twice: whether gradients of the gradients are taken in turn.

    Returns:
        The output, the auxiliary output, and the pullback: pullback(cotangent) -> (gradients of the variables,
        gradients of the inputs), to be called once; a gradient is None where the output does not depend on the value.

    Example:
        >>> square, _, pullback = vjp(lambda x: (x * x, ()), [], [ops.array(3.0)], [])
        >>> float(pullback(ops.ones(()))[1][0])
        6.0
    """
    values, inputs = [v.value for v in variables], list(inputs)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        inputs = [tf.convert_to_tensor(x) for x in inputs]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output, auxiliary = function(*inputs)

        def gradients(cotangent):
            return tape.gradient(output, values + inputs, output_gradients=cotangent)

    elif BACKEND == "torch":
        import torch

        inputs = [x.detach().requires_grad_() for x in inputs]
        output, auxiliary = function(*inputs)

        def gradients(cotangent):
            if not values + inputs:
                return []
            outputs, cotangents = (x if isinstance(x, list) else [x] for x in (output, cotangent))
            return torch.autograd.grad(outputs, values + inputs, cotangents, create_graph=twice, allow_unused=True)

    else:
        import jax

        def pure(values, inputs):
            # An inner scope sees nothing of the one around it: all state is passed in.
            pairs = [(v, v.value) for v in state] + list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs) as scope:
                output, auxiliary = function(*inputs)
            return output, (auxiliary, [scope.get_current_value(v) for v in state])

        output, pullback_of_both, (auxiliary, after) = jax.vjp(pure, values, inputs, has_aux=True)
        ids = {id(v) for v in variables}
        for variable, value in zip(state, after, strict=True):
            if id(variable) not in ids:
                variable.assign(value)

        def gradients(cotangent):
            return [gradient for group in pullback_of_both(cotangent) for gradient in group]

    def pullback(cotangent):
        flat = list(gradients(cotangent))
        return flat[: len(values)], flat[len(values) :]

    return output, auxiliary, pullback
