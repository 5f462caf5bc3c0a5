"""Recipes with a few edits each."""

import re

from hypothesis import strategies as st

from kvzoo.recipe.resolve import shipped_recipes

# Everything that a recipe can say about built-ins, in one.
RICH = """\
model: {name: gru_ae, frames: 8, image_size: 32, width: 4}
loss: {name: mse}
data:
  source: stick_actions
  videos: 12
  actions: [walk, jump]
  group: '(person\\d+)'
  validation: [person001]
  fps: 12.5
  short: loop
  sampler: {name: window}
  tests:
    far: {source: stick_actions, seed: 7, seconds: 1}
fit:
  steps: 20
  batch_size: 4
  optimizer:
    name: adamw
    learning_rate: {name: CosineDecay, initial_learning_rate: 1e-3, warmup_steps: 5, warmup_target: 2e-3}
    clipnorm: 1.0
    use_ema: true
  l2: 0
  jit_compile: false
callbacks: []
"""


# What an edit may put in: words of recipes, and what YAML and Python trip over.
WORDS = ["", "~", "{}", "[]", "[a]", "{a: 1}", "-1", "0", "1e999", ".nan", "true", "9" * 30, "2020-01-01", "é", "😀"]


@st.composite
def mutated(draw) -> str:
    """A recipe's text after a few edits of the kinds that people and editors make."""
    text = draw(st.sampled_from([RICH, *(p.read_text(encoding="utf-8") for p in shipped_recipes())]))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(
            st.sampled_from(["characters", "drop line", "insert line", "swap lines", "swap words", "replace word"])
        )
        lines, words = text.splitlines(keepends=True) or [""], [m.span() for m in re.finditer(r"[\w.+-]+", text)]
        if kind == "characters":
            start = draw(st.integers(0, len(text)))
            stop = draw(st.integers(start, min(len(text), start + 6)))
            text = text[:start] + draw(st.sampled_from(WORDS) | st.text(max_size=3)) + text[stop:]
        elif kind == "drop line":
            lines.pop(draw(st.integers(0, len(lines) - 1)))
            text = "".join(lines)
        elif kind == "insert line":
            line = draw(st.sampled_from(lines) | st.sampled_from(WORDS).map("{}\n".format))
            lines.insert(draw(st.integers(0, len(lines))), line)
            text = "".join(lines)
        elif kind == "swap lines":
            i, j = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
            lines[i], lines[j] = lines[j], lines[i]
            text = "".join(lines)
        elif words:
            (start, stop), other = draw(st.sampled_from(words)), draw(st.sampled_from(words))
            if kind == "replace word" or not stop <= other[0]:
                text = text[:start] + draw(st.sampled_from(WORDS)) + text[stop:]
            else:
                between = text[stop : other[0]]
                text = text[:start] + text[slice(*other)] + between + text[start:stop] + text[other[1] :]
    return text
