"""Which fields can differ within one program: those whose numbers may come after it is compiled.

``python experiments/traceable.py FLAGS`` asks it of a run of ``experiments/train.py``.
Exit codes: 0 they can, 2 they cannot, or wrong flags.
"""

import sys
from collections.abc import Sequence

import jax

from cli import parse_train, run_main
from config import Config
from errors import UsageError
from explorax.varied import with_values
from held_out import held_out_tasks
from learners import set_up, template
from metatest_program import metatest_keys, metatest_program
from runtime import configure_jax, make_env
from variations import text_of


def main(argv: Sequence[str]) -> int:
    """Checks the run that the flags describe."""
    config = parse_train(argv)
    configure_jax(config.train.devices)
    check_traceable(config)
    return 0


def check_traceable(config: Config) -> None:
    """Raises UsageError for a field of ``vary`` whose numbers the program has to know beforehand.

    That is found out by tracing training and test, which takes seconds and runs nothing.
    """
    if _is_traceable(config):
        return
    names = list(config.settings[0])
    refused = [name for name in names if not _is_traceable(_of_one(config, name))]
    raise UsageError(
        f"vary: {' and '.join(refused or names)} cannot differ within one program: compiling it "
        "needs the number"
    )


def _of_one(config: Config, name: str) -> Config:
    """Members that may differ in one field only; some are equal, perhaps."""
    return with_values(config, {"vary": tuple(text_of({name: s[name]}) for s in config.settings)})


def _is_traceable(config: Config) -> bool:
    setup = set_up(config)
    env = make_env(config.env, reward="sparse")
    test = metatest_program(config, env, setup.mesh, config.metatest)
    try:
        state = template(setup)
        jax.eval_shape(setup.learner.update, state)
        tasks = held_out_tasks(env, setup.mesh.size)
        jax.eval_shape(test, state.params, tasks, metatest_keys(config))
    except jax.errors.JAXTypeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(run_main(main))
