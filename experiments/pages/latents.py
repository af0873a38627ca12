"""What a page says of a meta-training run's latent space: the tasks' distributions, and alpha."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from config import Config
from explorax.adapt import StepSizes
from explorax.meta_update import initial_step_sizes
from explorax.types import Gaussian, Task
from latent_pictures import colours_of, latent_space
from learners import finished_state, of_seed
from pages.page import Block, Picture, Section, Table, Text, drawn
from pages.sections import whose
from run_directory import RunDirectory


class Latents(NamedTuple):
    """What one seed has learned of its training tasks."""

    latent: Gaussian  # leaves (N, L)
    step_sizes: StepSizes
    tasks: Task  # leading axis N


def latents_of(run: RunDirectory[Config]) -> list[Latents]:
    """The latents of every seed at the end of training.

    Raises:
      UsageError: as ``finished_state``.
    """
    state = finished_state(run)
    learned = getattr(state.params, "meta", state.params)  # a controller's, beside its skills
    found = jax.device_get(Latents(learned.latent, learned.step_sizes, state.tasks))  # pyright: ignore
    return [of_seed(run.config, found, i) for i in range(run.config.num_members)]


def latent_section(run: RunDirectory[Config], of_seeds: Sequence[Latents]) -> Section:
    """Ellipses of every seed, and the step sizes of all."""
    meta = run.config.meta
    blocks: list[Block] = []
    if meta.latent_dim > 0:
        for member, latents in zip(run.members(), of_seeds, strict=True):
            blocks.append(latent_picture(latents, whose(run, member)))
    else:
        blocks.append(Text("The policy of this method has no latent."))
    if meta.memory_size > 0:
        blocks.append(Text("It remembers a task's episodes; there are no inner steps."))
    elif meta.test_optimizer != "sgd":
        blocks.append(Text("It learns every task alone, by outer steps; there are no inner steps."))
    else:
        blocks.append(step_sizes(run, of_seeds))
    return Section("Latent space", blocks)


def latent_picture(latents: Latents, caption: str) -> Picture:
    """The ellipses of one seed."""
    mean, std = latents.latent.mean, np.exp(latents.latent.log_std)
    colours = colours_of(latents.tasks).meaning
    alt = (
        f"Latent distributions of {len(mean)} training tasks, an ellipse one standard deviation "
        f"wide each, coloured by {colours}. Means lie {np.linalg.norm(mean, axis=-1).mean():.2f} "
        f"from the origin on average, standard deviations are {std.mean():.2f} on average."
    )
    picture = drawn(partial(latent_space, latent=latents.latent, tasks=latents.tasks))
    return Picture(picture, alt, caption, size="small")


def step_sizes(run: RunDirectory[Config], of_seeds: Sequence[Latents]) -> Table:
    """Alpha of all that the inner step moves, where it began and what was learned."""
    columns = [named(run.config, latents.step_sizes) for latents in of_seeds]
    first = named(run.config, jax.device_get(initial_step_sizes(run.config.meta)))
    head = ["of", "at the start", *(whose(run, m) or "learned" for m in run.members())]
    rows = [(name, *(f"{column[name]:.3g}" for column in (first, *columns))) for name in first]
    return Table("Step sizes α of the inner step, by dimension of z", head, rows)


def named(config: Config, alpha: StepSizes) -> dict[str, float]:
    """The numbers that are used, by the parameter that they move."""
    sizes: dict[str, float] = {}
    if config.meta.adapt in ("latents", "both"):
        for symbol, values in zip(("μ", "log σ"), alpha.latent, strict=True):
            sizes |= {f"{symbol}{subscript(i + 1)}": float(x) for i, x in enumerate(values)}
    if config.meta.adapt in ("params", "both"):
        sizes["θ"] = float(alpha.policy)
    return sizes


def subscript(number: int) -> str:
    """A number's digits, set low."""
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
