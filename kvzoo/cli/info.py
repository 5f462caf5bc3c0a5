"""`kvzoo info`: print a spec."""

import json

import click

from kvzoo import catalog
from kvzoo.cli.group import verb
from kvzoo.cli.options import as_json
from kvzoo.errors import UnknownNameError, did_you_mean
from kvzoo.registry import KINDS, ModelSpec, Option, Spec, TaskSpec, blocked


@verb()
@click.argument("name")
@as_json
def command(name: str, as_json: bool) -> None:
    """Describe NAME, a model, loss, source, sampler, callback, task or metric."""
    spec = _find(name)
    if as_json:
        click.echo(json.dumps({"type": spec.noun, **spec.to_json()}, indent=2))
        return
    click.echo(f"{spec.name}: {spec.summary}")
    rows = {"type": spec.noun}
    if isinstance(spec, ModelSpec):
        rows |= model_rows(spec)
    else:
        hidden = ("name", "summary", "options", "builder", "figures", "history")
        extra = {k: v for k, v in spec.to_json().items() if k not in hidden and v not in ("", None, (), [])}
        rows |= {k: ", ".join(v) if isinstance(v, (list, tuple)) else str(v) for k, v in extra.items()}
    rows["builder"] = spec.builder
    for key, value in rows.items():
        click.echo(f"  {key:<14} {value}")
    if isinstance(spec, TaskSpec) and spec.figures:
        click.echo("  figures")
        width = max(len(figure.name) for figure in spec.figures)
        for figure in spec.figures:
            better = f"{figure.better} is better" if figure.better else ""
            click.echo(f"    {figure.name:<{width}}  {'; '.join(filter(None, (figure.meaning, better, figure.where)))}")
    if spec.options:
        click.echo("  options")
        width = max(map(len, spec.options))
        for key, option in spec.options.items():
            click.echo(f"    {key:<{width}}  {option_in_words(option)}")


def _find(name: str) -> Spec:
    for registry in catalog.REGISTRIES.values():
        try:
            return registry.get(name)
        except UnknownNameError:
            continue
    if reason := blocked(name, *(r.spec_type.group for r in catalog.REGISTRIES.values())):
        raise UnknownNameError(f"unknown name {name!r}{reason}")
    if (distribution := name.rpartition(":")[0]) and not any(
        r.offers(distribution) for r in catalog.REGISTRIES.values()
    ):
        raise UnknownNameError(f"unknown name {name!r}: no plugin {distribution!r} is installed and allowed")
    known = [n for registry in catalog.REGISTRIES.values() for n in registry.names()]
    raise UnknownNameError(f"unknown name {name!r}{did_you_mean(name, known) or '; known: ' + ', '.join(known)}")


def model_rows(spec: ModelSpec) -> dict[str, str]:
    """Return the details of a model as text; `kvzoo info` and its card show the same."""
    optimizer = dict(spec.optimizer)
    settings = ", ".join(
        f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in optimizer.items() if k != "name"
    )
    rows = {
        "kind": f"{spec.kind} ({KINDS[spec.kind]})",
        "loss": ", ".join([spec.loss, *(f"{k} {v}" for k, v in spec.loss_options.items())]),
        "parameters": ", ".join(f"{count:,} ({part})" for part, count in spec.parameters.items()),
        "MACs": f"{spec.macs / 1e9:.2f} G per forward pass" if spec.macs else "",
        "optimizer": f"{optimizer['name']}, {settings}, L2 {spec.l2:g}",
        "causal": "yes" if spec.causal else "no",
        "features": spec.feature_layer or "",
        "map": spec.map_layer or "",
        "discriminators": ", ".join(f"{k} ({v})" for k, v in spec.discriminators.items()),
        "maps": ", ".join(spec.maps),
        "terms": "; ".join(f"{name} x {term.weight:g}: {term.help}" for name, term in spec.terms.items()),
        "paper": spec.paper,
        "article": spec.article,
        "licence": spec.licence,
    }
    return {key: value for key, value in rows.items() if value}


def option_in_words(option: Option) -> str:
    """Return an option's type, default, limits and meaning in one line."""
    limits = []
    if option.choices:
        limits.append("one of " + ", ".join(map(str, option.choices)))
    if option.multiple_of:
        limits.append(f"a multiple of {option.multiple_of}")
    if option.minimum is not None:
        limits.append(f"at least {option.minimum:g}")
    if option.maximum is not None:
        limits.append(f"at most {option.maximum:g}")
    default = "required" if option.required else f"default {option.default}"
    return "; ".join([f"{option.type}, {default}", *limits, option.help])
