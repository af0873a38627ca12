"""Metrics as a run has them."""


def metrics(meta_iteration: int, **more: float) -> dict[str, float]:
    return {
        "meta_iteration": meta_iteration,
        "env_steps": 100 * meta_iteration,
        "wall_s": 0.5 * meta_iteration,
        "steps_per_s": 1234.5,
        "return_pre": -20.0,
        "return_post": -10.0 + meta_iteration,
        "success_pre": 0.25,
        "success_post": 0.5,
        "finite": 1.0,
        **more,
    }
