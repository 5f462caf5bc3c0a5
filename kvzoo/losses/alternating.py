"""What losses of several players share: networks that are updated in turns, each by an optimizer of its own.

Keras's own train step takes one gradient of one loss. Here a step runs a function once and pulls gradients
back through it later (`vjp`), so that what one network made is judged by another after that one's update.
The step is written once, as if variables could be changed at will; `vjp` and `AlternatingModel` carry it to
TensorFlow, JAX and PyTorch.
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


def vjp(
    function: Callable, variables: Sequence, inputs: Sequence, state: Sequence, twice: bool = False
) -> tuple[Any, Any, Callable]:
    """Run `function(*inputs)` once, to pull gradients back through it later.

    Args:
        function: returns (output, beside): a tensor or a list of them that gradients come through, and any
            nest of tensors that they do not.
        variables: to be pulled back to; they may be assigned to before that.
        inputs: tensors to be pulled back to.
        state: all variables that the function may read or assign to; what it assigns is kept.
        twice: whether gradients of the pulled gradients are taken in turn.

    Returns:
        The output, what stood beside it, and pull(cotangent) -> (gradients of the variables, gradients of the
        inputs), to be called once; None where the output does not depend on one.
    """
    values, inputs = [v.value for v in variables], list(inputs)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        inputs = [tf.convert_to_tensor(x) for x in inputs]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output, beside = function(*inputs)

        def pull(cotangent):
            return tape.gradient(output, values + inputs, output_gradients=cotangent)

    elif BACKEND == "torch":
        import torch

        inputs = [x.detach().requires_grad_() for x in inputs]
        output, beside = function(*inputs)

        def pull(cotangent):
            if not values + inputs:
                return []
            outputs, cotangents = (x if isinstance(x, list) else [x] for x in (output, cotangent))
            return torch.autograd.grad(outputs, values + inputs, cotangents, create_graph=twice, allow_unused=True)

    else:
        import jax

        def pure(values, inputs):
            # An inner scope sees nothing of the one around it: all state is handed in.
            pairs = [(v, v.value) for v in state] + list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=pairs) as scope:
                output, beside = function(*inputs)
            return output, (beside, [scope.get_current_value(v) for v in state])

        output, pull_both, (beside, after) = jax.vjp(pure, values, inputs, has_aux=True)
        trained = {id(v) for v in variables}
        for variable, value in zip(state, after, strict=True):
            if id(variable) not in trained:
                variable.assign(value)

        def pull(cotangent):
            return [gradient for part in pull_both(cotangent) for gradient in part]

    def pull_apart(cotangent):
        gradients = list(pull(cotangent))
        return gradients[: len(values)], gradients[len(values) :]

    return output, beside, pull_apart


def global_norm(gradients: Sequence):
    """Return the L2 norm of all gradients together, float32."""
    squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients if g is not None]
    return ops.sqrt(sum(squares, ops.zeros(())))


class OfPlayer(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over steps for one of several optimizers, which may be applied several times in each of them.

    Args:
        schedule: of the main network, by steps.
        updates: how often the optimizer is applied in a step.
        share: of the main network's rate that is the optimizer's own.
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


class Players(keras.optimizers.Optimizer):
    """The optimizers of several networks as one, so that all their state is saved, resumed and, on JAX, passed on.

    Each is applied by itself (`apply_to`). `learning_rate` is the first one's; setting it sets the others' in
    the same proportion. `MultiOptimizer` is not used because it has no learning rate to set and takes no
    `LossScaleOptimizer`.

    Args:
        optimizers: by the network's name.
        variables: trainable variables of each network.
    """

    def __init__(self, optimizers: Mapping[str, keras.optimizers.Optimizer], variables: Mapping[str, Sequence]):
        super().__init__(learning_rate=0.0, name="players")
        self.players = dict(optimizers)
        # Ids only: an optimizer takes the variables among its attributes for its own.
        self._owner = {id(v): name for name, owned in variables.items() for v in owned}

    def build(self, variables):
        if self.built:
            return
        for name, player in self.players.items():
            player.build(self.owned(name, variables))
        super().build(variables)

    def owned(self, name: str, variables: Sequence) -> list:
        """Return which of the variables are of one network."""
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
        """Return what a player's loss is multiplied by: 1 but for float16."""
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
        """Count one step of all."""
        self.iterations.assign_add(1)

    def finalize_variable_values(self, var_list):
        for name, player in self.players.items():
            player.finalize_variable_values(self.owned(name, var_list))


def pick(network: keras.Model, given: Mapping[str, Any]):
    """Return what a network takes, by its inputs' names."""
    return keras.tree.map_structure(lambda x: given[x.name], network.input)


def share(right):
    """Return the share of true values, float32."""
    return ops.mean(ops.cast(right, "float32"))


class View:
    """A network that Keras does not take for one more part of the model that holds it."""

    def __init__(self, network: keras.Model, names: tuple[str, ...]):
        # The order of the parts; each backend has one of its own for dicts.
        self.network, self.names = network, names

    def __call__(self, inputs: Mapping[str, Any], training: bool) -> dict[str, Any]:
        return self.network(pick(self.network, inputs), training=training)


class AlternatingModel(VideoModel):
    """A model of several networks that are updated in turns.

    A subclass writes two methods as if variables could be changed at will: `alternate(data)`, which updates its
    networks and metrics, and `judge(data)`, which updates its metrics only; `data` is (x, y, None) as `fit` was given
    it, checked by `check_example`. They return the logs.

    Attributes:
        networks: by name, the main one, "network", first; the others are its critics.
        critics: their names.
        view: the main network as a function (inputs by name, training) -> parts by name: its output as "clip", and
            each of the spec's maps that it has.
        terms: function and weight of the spec's terms that count, by name.
        critic_learning_rate: of the critics, with a schedule at its start; the main network's where None.
    """

    def __init__(
        self,
        networks: dict[str, keras.Model],
        spec,
        config,
        loss_name,
        terms: Mapping[str, float] | None = None,
        critic_learning_rate: float | None = None,
    ):
        super().__init__(networks, spec, config, loss_name)
        self.networks = dict(networks)
        self.critics = tuple(name for name in networks if name != "network")
        self.critic_learning_rate = critic_learning_rate
        self._means: dict[str, keras.metrics.Mean] = {}

        maps = [name for name in spec.maps if name in {layer.name for layer in self.network.layers}]
        made = {"clip": self.network.output} | {name: self.network.get_layer(name).output for name in maps}
        self.view = View(keras.Model({x.name: x for x in self.network.inputs}, made, name="parts"), tuple(made))
        self.terms = {
            name: (spec.terms[name].load(), weight)
            for name, weight in spec.term_weights(terms).items()
            if weight and set(spec.terms[name].maps) <= set(maps)
        }

    def alternate(self, data) -> dict:
        raise NotImplementedError

    def judge(self, data) -> dict:
        raise NotImplementedError

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
        """Compile the model: every network gets an optimizer like the one given.

        Args:
            optimizer: a Keras optimizer, not built yet, or its name.
            loss, loss_weights, metrics, weighted_metrics: None, as the model has its own.
            run_eagerly, steps_per_execution, jit_compile: as Keras has them.
            auto_scale_loss: not used: in mixed_float16 each network's loss has a scale of its own.

        Raises:
            InputError: something that training in turns cannot do.
        """
        for name, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if value is not None:
                raise InputError(f"compile: {name}: the loss {self.loss_name} has its own. Received: {short(value)}")
        if BACKEND == "torch" and steps_per_execution != 1:
            raise InputError(f"compile: steps_per_execution is 1 on PyTorch. Received: {steps_per_execution}")
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
        first = keras.optimizers.get(optimizer)
        variables = {name: network.trainable_variables for name, network in self.networks.items()}
        players = Players({name: self._player(first, name) for name in self.networks}, variables)
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

    def _player(self, optimizer: keras.optimizers.Optimizer, name: str) -> keras.optimizers.Optimizer:
        player = accelerate_optimizer(type(optimizer).from_config({**optimizer.get_config(), "name": name}))
        share = 1.0
        schedule = private.learning_rate_of(player)
        scheduled = isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        if name != "network" and self.critic_learning_rate is not None:
            if scheduled:
                share = self._share_of_critics(schedule)
            else:
                player.learning_rate = self.critic_learning_rate
        if scheduled and (share != 1 or self.updates(name) > 1):
            player.learning_rate = OfPlayer(schedule, self.updates(name), share)
        # Each player has a scale of its own: their losses differ.
        half = self.dtype_policy.name == "mixed_float16"
        return keras.optimizers.LossScaleOptimizer(player, name=name) if half else player

    def _share_of_critics(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> float:
        """Return the critics' part of a scheduled rate: it begins at `critic_learning_rate` and goes as the others' does."""
        start = float(ops.convert_to_numpy(schedule(0)))
        if not start:
            raise InputError(
                "learning_rate: a schedule that begins at 0 gives critic_learning_rate no proportion to keep; "
                "begin it above 0, or leave critic_learning_rate out"
            )
        return self.critic_learning_rate / start

    def updates(self, name: str) -> int:
        """Return how often a step updates a network."""
        return 1

    def update(self, name: str, pull: Callable):
        """Pull a network's gradients back by pull(scale) -> gradients, update it, return their norm."""
        scale = self.optimizer.scale(name)
        gradients = pull(scale)
        norm = global_norm(gradients) / scale
        if isinstance(self.optimizer.players[name], keras.optimizers.LossScaleOptimizer):
            # It leaves a step out where float16 overflows: that is no failure, and counts as 0.
            norm = ops.where(ops.isfinite(norm), norm, ops.zeros_like(norm))
        self.optimizer.apply_to(name, gradients, self.networks[name].trainable_variables)
        return norm

    def make(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Callable]:
        """Run the main network in training, to update it later: by `learn`, once.

        Returns:
            Its parts by name, which gradients do not come through, and the pull that `learn` wants.
        """

        def run():
            parts = self.view(inputs, training=True)
            return [parts[name] for name in self.view.names], ()

        parts, _, pull = vjp(run, self.network.trainable_variables, (), self.network.variables)
        return {name: ops.stop_gradient(x) for name, x in zip(self.view.names, parts, strict=True)}, pull

    def learn(self, made: Mapping[str, Any], pull_made: Callable, loss: Callable) -> None:
        """Update the main network by loss(parts by name) -> (total, metrics), at what `make` returned; record both."""
        outputs = [made[name] for name in self.view.names]
        told, beside, pull_told = vjp(
            lambda *parts: loss(dict(zip(self.view.names, parts, strict=True))),
            (),
            outputs,
            [v for name in self.critics for v in self.state_of(name)],
        )

        def pull(scale):
            _, wanted = pull_told(scale)
            return pull_made([ops.zeros_like(x) if g is None else g for g, x in zip(wanted, outputs, strict=True)])[0]

        norm = self.update("network", pull)
        self.record({"g_loss": told, **beside, "g_norm": norm})

    def improve(self, critic: str, loss: Callable) -> None:
        """Update a critic by loss() -> (total, metrics); record both."""
        network = self.networks[critic]
        told, beside, pull = vjp(loss, network.trainable_variables, (), self.state_of(critic))
        norm = self.update(critic, lambda scale: pull(scale)[0])
        self.record({self.of(critic, metric): x for metric, x in {"d_loss": told, **beside, "d_norm": norm}.items()})

    def state_of(self, critic: str) -> list:
        """Return all variables that a critic reads or assigns to."""
        return self.networks[critic].variables

    def add_terms(self, inputs: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the weighted sum of the spec's terms, and each by its name, not weighted."""
        total, beside = 0.0, {}
        for name, (function, weight) in self.terms.items():
            try:
                beside[name] = function(inputs, made)
            except KeyError as error:
                raise InputError(
                    f"model {self.spec.name}: the term {name} reads {error}, which is not there; "
                    f"inputs: {', '.join(inputs)}; outputs: {', '.join(made)}"
                ) from error
            total = total + weight * beside[name]
        return total, beside

    def of(self, critic: str, metric: str) -> str:
        """Return what a critic's metric is called: by the critic, where there are several."""
        return metric if len(self.critics) == 1 else f"{metric}_{critic}"

    def count(self, *names: str) -> None:
        """Add metrics: means over an epoch, in this order."""
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

    def check_example(self, where, x, y, weights, look=True):
        if weights is not None:
            raise InputError(f"{where}: the loss {self.loss_name} has no use for sample or class weights")

    def train_step(self, *arguments):
        return self._in_scope(lambda data: self.alternate(self.example("fit", data)), *arguments)

    def test_step(self, *arguments):
        return self._in_scope(lambda data: self.judge(self.example("evaluate", data)), *arguments)

    def _in_scope(self, step: Callable, *arguments):
        """Run a step; on JAX, which hands its state in and wants it back, within a scope that holds it."""
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
