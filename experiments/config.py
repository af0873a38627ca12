"""Everything that a run can be told; the docstrings below the fields are the flags' help."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

from explorax.config import (
    DEMONSTRATIONS,
    MOST_STEPS,
    LatentSkillConfig,
    MetaConfig,
    OptionConfig,
    SkillConfig,
    require,
    require_sizes,
)
from variations import Values, changed, parse_values, value_of

PresetName = Literal[
    "push-maesn",
    "push-maesn-paper",
    "push-latent-space",
    "push-maml",
    "push-rl2",
    "push-scratch",
    "push-rnd",
    "wheeled-maesn",
    "wheeled-latent-space",
    "wheeled-maml",
    "wheeled-rl2",
    "wheeled-scratch",
    "wheeled-rnd",
    "ant-maesn",
    "ant-latent-space",
    "ant-maml",
    "ant-rl2",
    "ant-scratch",
    "ant-rnd",
    "point-maesn",
    "point-rl2",
    "point-scratch",
    "point-rnd",
    "point-counts",
    "push-hmrl-latent",
    "push-hmrl-distilled",
    "push-hmrl-skills",
    "push-hmrl-random",
    "push-hmrl-maml",
    "push-hmrl-scratch",
    "point-hmrl-latent",
    "point-hmrl-distilled",
    "point-hmrl-skills",
]
SkillPresetName = Literal[
    "push-diayn",
    "push-diayn-full",
    "push-diayn-blocks",
    "push-diayn-20",
    "push-diayn-100",
    "push-diayn-gaussian",
    "push-vic",
    "point-diayn",
]
HORIZON = {"push": 100, "wheeled": 200, "ant": 200, "point": 20}
"""Control steps per episode of every environment."""
WITH_PHYSICS = ("push", "wheeled", "ant")
"""Those whose solver may be told to take more iterations."""


@dataclass(frozen=True)
class EnvConfig:
    """The environment."""

    name: Literal["push", "wheeled", "ant", "point"] = "push"
    """Planar pushing of one of five blocks; a car, an ant or a point that looks for a goal."""
    block_shape: Literal["disc", "box"] = "disc"
    """Push only: boxes are the paper's, discs several times as fast."""
    reward: Literal["dense", "sparse"] = "dense"
    """Reward of meta-training; tests are always sparse, and skills see none."""
    physics: Literal["fast", "exact"] = "fast"
    """Few solver iterations per step, or more; not for point, which has no physics."""

    def __post_init__(self):
        for name, usual, has_it in (
            ("block_shape", "disc", ("push",)),
            ("physics", "fast", WITH_PHYSICS),
        ):
            require(
                self.name in has_it or getattr(self, name) == usual,
                f"env.{name}",
                f"is for env.name {' or '.join(has_it)} only, not '{self.name}'",
            )


@dataclass(frozen=True)
class HierarchyConfig:
    """Skills in meta-learning: a policy's latents, its start, or frozen ones that are chosen."""

    skills: Literal["none", "latent", "distilled", "trained", "random"] = "none"
    """latent: what the method's own latents make the policy do, told apart while it learns.
    distilled: what the policy does for a latent at the start, learned from those that a run of
    skills has found. Or a controller chooses frozen ones in place of actions: trained, those that
    a run has found; random, untrained ones of the same kind and size."""
    latent_skills: LatentSkillConfig = field(default_factory=LatentSkillConfig)
    """How latents are made skills."""
    skill_preset: SkillPresetName = "push-diayn"
    """Which skills of a run of their own. Those of seed N are in runs/skills/PRESET-seedN; missing
    ones are discovered first."""
    skills_dir: Path | None = None
    """A finished run of skills to take in place of the preset's: of one seed for all, or of several
    for a run of the same seeds."""
    options: OptionConfig = field(default_factory=OptionConfig)
    """How frozen skills are used."""

    def __post_init__(self):
        require(
            self.skills_dir is None or self.needs_discovered,
            "hierarchy.skills_dir",
            f"is for hierarchy.skills trained and distilled only, not '{self.skills}'",
        )

    @property
    def needs_discovered(self) -> bool:
        """Whether a run of skills has to come first."""
        return self.skills in ("trained", "distilled")


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    num_iterations: int = 100
    """Iterations of the whole run (0: none); may be raised when a run is resumed."""
    chunk_size: int = 5
    """Iterations per call of the compiled program."""
    checkpoint_every: int = 10
    """Iterations between checkpoints; the last one always has its own."""
    devices: int = 0
    """Most devices to use, of each process; 0: every accelerator there is, else one CPU device per
    core."""

    def __post_init__(self):
        require_sizes(self, "train.", "num_iterations", low=0, high=MOST_STEPS)
        require_sizes(self, "train.", "chunk_size", high=10_000)
        require_sizes(self, "train.", "checkpoint_every", high=MOST_STEPS)
        require_sizes(self, "train.", "devices", low=0, high=1024)


@dataclass(frozen=True)
class MetaTestConfig:
    """Meta-testing on held-out tasks with the sparse reward, after training."""

    num_tasks: int = 100
    """Held-out tasks, the same for every seed of a run."""
    num_iterations: int = 10
    """Inner steps per task; of a policy with a memory, episodes after the first."""
    num_episodes: int = 20
    """Episodes per task and iteration; of a policy with a memory, trials that know nothing of each
    other."""

    def __post_init__(self):
        require_sizes(self, "metatest.", "num_tasks", "num_iterations")
        require_sizes(self, "metatest.", "num_episodes", low=2)


@dataclass(frozen=True)
class SkillTestConfig:
    """What skills do on held-out tasks with the sparse reward, after training."""

    num_tasks: int = 100
    """Held-out tasks, the same for every seed of a run: every skill acts once on each. As many
    others serve to choose the skill that is best on average."""
    num_episodes: int = 10
    """Fresh episodes per task by which a chosen skill is scored."""

    def __post_init__(self):
        require_sizes(self, "evaluation.", "num_tasks", "num_episodes")


@dataclass(frozen=True)
class WandbConfig:
    """Weights & Biases; its files are kept below the run's directory."""

    mode: Literal["disabled", "offline", "online"] = "disabled"
    """Where metrics, pictures and results go besides the run's directory; online falls back to
    offline without a key, or without the server."""
    project: str = "explorax"
    """The W&B project."""
    name: str | None = None
    """The W&B run's name; the run directory's if not given."""
    checkpoint: bool = False
    """Upload the run's last checkpoint as an artifact, too."""


@dataclass(frozen=True)
class RunConfig:
    """What every run that trains can be told."""

    target: ClassVar[str]
    """The make target, and the script, of such runs."""
    preset: str = ""
    """Which settings to start from; every other flag overrides one of them."""
    seed: int = 0
    """Of everything random in training."""
    num_seeds: int = 1
    """Runs of seeds seed, seed + 1, ... in one program; each has its own directory, seedN below the
    run's."""
    run_dir: Path | None = None
    """Where the run is written; runs/PRESET-seedN-TIME if not given. Nothing is overwritten."""
    resume: bool = False
    """Continue the run in --run-dir from its last checkpoint, with its own settings."""
    distributed: bool = False
    """This process is one of several that train the run together, as SLURM or Open MPI says, or
    $JAX_COORDINATOR_ADDRESS, $JAX_NUM_PROCESSES and $JAX_PROCESS_ID."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """The environment."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The training loop."""
    wandb: WandbConfig = field(default_factory=WandbConfig)
    """Weights & Biases."""
    tensorboard: bool = False
    """Write metrics and pictures for TensorBoard, too, into tensorboard/ in the run's directory."""

    def __post_init__(self):
        require_sizes(self, "", "num_seeds", high=1024)
        last = 2**31 - self.num_seeds
        require(0 <= self.seed <= last, "seed", f"must be in 0..{last}")

    @property
    def num_members(self) -> int:
        """Runs in the program."""
        return self.num_seeds

    def members(self) -> list[Self]:
        """Each of them as it would be alone."""
        seeds = range(self.seed, self.seed + self.num_seeds)
        return [dataclasses.replace(self, seed=seed, num_seeds=1) for seed in seeds]


@dataclass(frozen=True)
class Config(RunConfig):
    """Meta-train a method on an environment, then meta-test it on held-out tasks."""

    target: ClassVar[str] = "train"
    """The make target, and the script, of such runs."""
    preset: PresetName = "push-maesn"
    """Which settings to start from; every other flag overrides one of them."""
    meta: MetaConfig = field(default_factory=MetaConfig)
    """The meta-learner."""
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    """Skills in meta-learning."""
    metatest: MetaTestConfig = field(default_factory=MetaTestConfig)
    """Meta-testing."""
    vary: tuple[str, ...] = ()
    """Runs of several settings in one program, each with every seed, as in --vary meta.kl_coef=0.1
    meta.kl_coef=0.5, or meta.kl_coef=0.1,meta.discount=0.9 where several fields differ: fields that
    take fractions, the same in all settings. Each run has its own directory, as in
    kl_coef0.1-seed0 below the run's."""

    def __post_init__(self):
        super().__post_init__()
        if self.vary:
            self._check_vary()
        if self.has_frozen_skills:
            because = f"when hierarchy.skills is '{self.hierarchy.skills}'"
            require(self.meta.memory_size == 0, "meta.memory_size", f"must be 0 {because}")
            require(
                HORIZON[self.env.name] % self.hierarchy.options.length == 0,
                "hierarchy.options.length",
                f"must divide the {HORIZON[self.env.name]} control steps of an episode of "
                f"env.name {self.env.name}",
            )
        if self.hierarchy.skills == "distilled":
            because = "when hierarchy.skills is 'distilled'"
            require(self.meta.latent_dim >= 2, "meta.latent_dim", f"must be at least 2 {because}")
        require(
            self.meta.curiosity != "counts" or self.env.name == "point",
            "meta.curiosity",
            f"counts are for env.name point only, not '{self.env.name}': its observations have too "
            "many dimensions for cells",
        )
        self._check_steps()
        decay, iterations = self.meta.ppo.decay_iterations, self.train.num_iterations
        require(
            self.meta.optimizer == "trpo" or decay == 0 or decay >= iterations,
            "meta.ppo.decay_iterations",
            f"must be 0 or at least train.num_iterations ({iterations}), or nothing is learned "
            "in the end",
        )

    def _check_steps(self) -> None:
        """Refuses more environment steps at once than an int32 counts."""
        horizon, test = HORIZON[self.env.name], self.metatest
        at_once = {
            "meta.num_episodes": self.meta.steps_per_update(horizon),
            "metatest.num_episodes": test.num_tasks * test.num_episodes * horizon,
        }
        if self.hierarchy.skills == "distilled":
            at_once["meta.num_train_tasks"] = DEMONSTRATIONS * self.meta.num_train_tasks * horizon
        for name, steps in at_once.items():
            expectation = f"{steps:.1e} environment steps at once are more than {MOST_STEPS}"
            require(steps <= MOST_STEPS, name, expectation)

    def _check_vary(self) -> None:
        """Every setting has to be one that could be run alone."""
        settings = self.settings
        require(len(settings) > 1, "vary", "must be at least two settings")
        require(self.num_members <= 1024, "vary", "must be at most 1024 runs with all seeds")
        for i, setting in enumerate(settings):
            for name in setting:
                is_float = type(value_of(self, name)) is float
                require(is_float, "vary", f"{name} is no field that takes fractions")
            same = setting.keys() == settings[0].keys()
            require(same, "vary", f"'{self.vary[i]}' has other fields than '{self.vary[0]}'")
            require(setting not in settings[:i], "vary", f"has '{self.vary[i]}' twice")
        self.members()

    @property
    def settings(self) -> list[Values]:
        """Those of ``vary``."""
        return [parse_values(text) for text in self.vary]

    @property
    def num_members(self) -> int:
        """Runs in the program."""
        return max(len(self.vary), 1) * self.num_seeds

    def members(self) -> list[Self]:
        """Each of them as it would be alone, setting by setting."""
        if not self.vary:
            return super().members()
        alone = dataclasses.replace(self, vary=())
        return [m for values in self.settings for m in changed(alone, values).members()]

    @property
    def has_frozen_skills(self) -> bool:
        """Whether a controller's skills act in place of the policy."""
        return self.hierarchy.skills in ("trained", "random")

    @property
    def has_skill_set(self) -> bool:
        """Whether there are skills besides what is learned: below it, or where it starts."""
        return self.has_frozen_skills or self.hierarchy.skills == "distilled"


@dataclass(frozen=True)
class SkillsRunConfig(RunConfig):
    """Discover skills without a reward, then measure on held-out tasks what they do."""

    target: ClassVar[str] = "skills"
    """The make target, and the script, of such runs."""
    preset: SkillPresetName = "push-diayn"
    """Which settings to start from; every other flag overrides one of them."""
    skills: SkillConfig = field(default_factory=SkillConfig)
    """The skills, and how they are learned."""
    evaluation: SkillTestConfig = field(default_factory=SkillTestConfig)
    """The test of the skills."""
