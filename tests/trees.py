"""Comparing pytrees that hold typed keys, which numpy and chex do not read."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


def raw(tree: Any) -> Any:
    """``tree`` as numpy arrays, keys as the integers that they are made of."""

    def leaf(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    return jax.tree.map(leaf, tree)


def bits(tree: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Dtype, shape and bytes of every leaf: NaN equals NaN, and 0 is not -0.

    A NaN has a sign and a payload that mean nothing, and that one program leaves now so, now so.
    """

    def plain(x):
        return np.where(np.isnan(x), np.array(np.nan, x.dtype), x) if np.isnan(x).any() else x

    return [(str(x.dtype), x.shape, plain(x).tobytes()) for x in jax.tree.leaves(raw(tree))]


def assert_close(a: Any, b: Any, **tolerance: float) -> None:
    """Equal structures, and leaves equal within ``rtol`` and ``atol``."""
    chex.assert_trees_all_close(raw(a), raw(b), **tolerance)


def shaken(tree: Any, seed: int = 1, scale: float = 1.0) -> Any:
    """Every leaf with noise added."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [x + scale * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, noisy)
