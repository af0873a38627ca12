"""Inner surrogates: equal first derivatives, different second ones.

The inner step follows the first derivative of a surrogate, the policy gradient in each case. The
meta-gradient needs that step's derivative, the Hessian of the expected return

    H = E[sum_t (d log pi_t d log pi_t' + d^2 log pi_t) Q_t]        (H1 + H2)
      + E[sum_t d log pi_t (d Q_t)'] + transposed                   (H12 + H12')

in the notation of Rothfuss 2018 (ProMP, arXiv 1810.06784, appendix B), and there they differ:

===========  =========================  ========================================================
surrogate    expected Hessian           source
===========  =========================  ========================================================
loglik       H2                         Finn 2017 (arXiv 1703.03400) as usually implemented
lvc          H1 + H2                    ProMP, eq. 12: low variance
dice         H1 + H2 + H12 + H12'       Foerster 2018 (arXiv 1802.05098): unbiased, high variance
emaml        H2, and credit for the     Stadie 2018 (arXiv 1803.01118): the outer loss adds
             sampled episodes           ``log pi`` of the pre-update episodes times the
                                        post-update return (outer.sampling_credit)
first_order  0                          Finn 2017, FOMAML: the inner step is a constant
===========  =========================  ========================================================

A latent drawn once per episode is one decision, T = 1: there H12 = 0, and lvc and dice agree. An
inner step on latents sees the draw of latents alone, as in MAESN, and one on theta the actions
alone: that theta decides what a latent earns, too, is in no surrogate, and dice is unbiased for
either as long as the other is held fixed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from explorax.config import Estimator

Surrogate = Callable[[Float[Array, "*batch T"], Float[Array, "*batch T"]], Float[Array, "*batch"]]
"""(log_prob of each decision, its advantage) -> objective to ascend, averaged over T"""


def loglik(
    log_prob: Float[Array, "*batch T"], advantage: Float[Array, "*batch T"]
) -> Float[Array, "*batch"]:
    """mean_t log pi_t A_t."""
    return jnp.mean(log_prob * advantage, axis=-1)


def lvc(
    log_prob: Float[Array, "*batch T"], advantage: Float[Array, "*batch T"]
) -> Float[Array, "*batch"]:
    """mean_t (pi_t / [pi_t]) A_t, where [x] is x held constant (ProMP, eq. 12)."""
    return jnp.mean(magic_box(log_prob) * advantage, axis=-1)


def dice(
    log_prob: Float[Array, "*batch T"], advantage: Float[Array, "*batch T"]
) -> Float[Array, "*batch"]:
    """mean_t (box(a_0..a_t) - box(a_0..a_t-1)) A_t.

    Foerster 2018 with the advantage in place of the reward, after Farquhar 2019 (Loaded DiCE,
    arXiv 1909.10549, eq. 13). The value is 0; the derivatives are what counts.
    """
    total = jnp.cumsum(log_prob, axis=-1)
    boxes = magic_box(total) - magic_box(total - log_prob)
    return jnp.mean(boxes * advantage, axis=-1)


def magic_box(log_prob: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1, with the derivatives of ``exp(log_prob) / [exp(log_prob)]``."""
    return jnp.exp(log_prob - jax.lax.stop_gradient(log_prob))


SURROGATES: dict[Estimator, Surrogate] = {
    "loglik": loglik,
    "lvc": lvc,
    "dice": dice,
    "emaml": loglik,
    "first_order": loglik,
}
