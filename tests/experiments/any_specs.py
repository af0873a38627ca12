"""Sweeps as hypothesis draws them: YAML's values where a spec has its own, and mere text."""

from hypothesis import strategies as st

from config_json import flatten, to_json
from presets import PRESETS

FIELDS = sorted(flatten(to_json(PRESETS["point-maesn"])))
ODD = ["0", "-1", "1e300", ".nan", ".inf", "9" * 30, "9" * 400, "2024-01-01", "2024-99-99", "~"]
ODD += ["true", "''", '"\\0"', "ü", "!!bool x", "!!timestamp x", "!!int x", "!!python/name:os.x"]
ODD += ["&a [*a]", "*b", "{a: b}", "{[1]: 2}", "[[1], {}]", "[", ":", "x", "[2024-01-01]"]
NUMBERS = ["[0.1, 0.5, 0.2]", "{low: 0.1, high: 0.9}", "{low: 1e-3, high: 1, log: true}"]
VARIED = {
    "meta.kl_coef": NUMBERS,
    "meta.inner_lr_mean": NUMBERS,
    "meta.num_episodes": ["[4, 8]", "{low: 2, high: 9, int: true}", "{low: 1, high: 9, int: true}"],
    "meta.hidden_sizes": ["[[8], [8, 8]]"],
    "meta.optimizer": ["[ppo, trpo, promp]", "[sgd]"],
    "meta.learn_inner_lr": ["[true, false]"],
}
WRONG_DOMAINS = ["[]", "[1, 1]", "{low: 2, high: 1}", "{low: 0, high: 1, log: true}", "{low: 1}"]
WRONG_DOMAINS += [
    "{low: 1, high: x}",
    "{low: -1e300, high: 1e300}",
    f"{{low: 1, high: {'9' * 400}}}",
]
SEARCH = ["method: grid", "method: random\nnum_runs: 3", "method: tpe\nnum_runs: 3"]
WRONG_SEARCH = ["method: best", "method: random", "method: tpe\nnum_runs: 999999999"]
KEYS = {
    "seeds": (["[0, 1]", "2", "[0, 2]"], ["-1", "999999999999", "[x]", "[]"]),
    "vmap": (["[]", "[seed]"], ["[x]", "seed"]),
    "metric": (["return@5", "success@best"], ["return@999", f"return@{'9' * 5000}"]),
    "search_seed": (["0"], ["x"]),
    "set": (["{}", "{train.num_iterations: 4}", "{wandb.mode: offline}"], ["{seed: 1}", "[]"]),
}


def mostly(likely: list, others: list) -> st.SearchStrategy:
    """One of two lists, of the first nine times of ten."""
    rarely = st.integers(0, 9).map(lambda i: i == 9)
    return rarely.flatmap(lambda is_so: st.sampled_from(others if is_so else likely))


def specs() -> st.SearchStrategy[str]:
    """The text of a file."""
    presets = mostly(["point-maesn"], ["push-maesn", "push-rl2", "nothing", *ODD])
    keys = {key: mostly(likely, [*wrong, *ODD]) for key, (likely, wrong) in KEYS.items()}
    others = st.fixed_dictionaries({}, optional=keys)
    odd = mostly([""], [f"{key}: {value}\n" for key in [*KEYS, "<<", "bogus"] for value in ODD])
    name = mostly(sorted(VARIED), [*FIELDS, "meta.bogus", "1"])
    field = name.flatmap(lambda n: st.tuples(st.just(n), _domain(n)))
    fields = st.lists(field, min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    parts = st.tuples(presets, mostly(SEARCH, WRONG_SEARCH), others, odd, fields)
    return st.one_of(*[parts.map(_text)] * 9, st.text())


def _domain(name: str) -> st.SearchStrategy[str]:
    return mostly(VARIED.get(name, NUMBERS), [*WRONG_DOMAINS, *ODD])


def _text(parts) -> str:
    preset, search, others, odd, fields = parts
    lines = "".join(f"{key}: {value}\n" for key, value in others.items())
    varied = "".join(f"  {name}: {value}\n" for name, value in fields)
    return f"preset: {preset}\n{search}\n{lines}{odd}fields:\n{varied}"
