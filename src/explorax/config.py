"""Configs of meta-learners and skill learners; invalid values raise, naming the field."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Adapt = Literal["latents", "params", "both"]
Estimator = Literal["loglik", "lvc", "dice", "emaml", "first_order"]
Optimizer = Literal["ppo", "promp", "trpo"]
Curiosity = Literal["none", "rnd", "counts"]
SkillObjective = Literal["diayn", "vic"]
SkillSpace = Literal["categorical", "gaussian"]
CoefSchedule = Literal["constant", "annealed", "learned"]

MOST = 1_000_000
"""Upper bound of counts: far more than a machine can do; XLA can represent the product of two."""
MOST_STEPS = 2**31 - 1
"""Upper bound of what an int32 counts on the device."""
MOST_LAYERS, MOST_UNITS = 16, 16_384
"""Upper bounds of a network's layers, and of the units of each."""
DEMONSTRATIONS = 40
"""Episodes of skills for each training task, from which a policy is distilled; they are counted."""
TINY, HUGE = 2e-38, 3e38
"""Bounds of float32's normal numbers."""


def require(condition: bool, field_name: str, expectation: str) -> None:
    """Raises ValueError ``field_name: expectation`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{field_name}: {expectation}")


def require_finite(config: Any, prefix: str) -> None:
    """Raises ValueError for a float field that float32 takes for infinite, or wrongly for 0."""
    for name, value in vars(config).items():
        if isinstance(value, float):
            require(math.isfinite(value), prefix + name, "must be finite")
            within = value == 0 or TINY <= abs(value) <= HUGE
            require(within, prefix + name, f"must be 0 or of a size in {TINY:.0e}..{HUGE:.0e}")


def require_sizes(config: Any, prefix: str, *names: str, low: int = 1, high: int = MOST) -> None:
    """Raises ValueError for a field that is not in low..high."""
    for name in names:
        is_within = low <= getattr(config, name) <= high
        require(is_within, prefix + name, f"must be in {low}..{high}")


def require_layers(hidden_sizes: tuple[int, ...], field_name: str) -> None:
    """Raises ValueError unless these are units of layers."""
    require(
        1 <= len(hidden_sizes) <= MOST_LAYERS and min(hidden_sizes) >= 1,
        field_name,
        f"must be positive integers, 1 to {MOST_LAYERS} of them",
    )
    require(max(hidden_sizes) <= MOST_UNITS, field_name, f"must be at most {MOST_UNITS} each")


@dataclass(frozen=True)
class PPOConfig:
    """Outer step by the clipped surrogate (Schulman 2017) and Adam."""

    learning_rate: float = 5e-3
    """Adam's step size, for theta, the latents and the inner step sizes alike."""
    decay_iterations: int = 0
    """Meta-iterations over which the step size falls linearly to 0 (0: it stays)."""
    num_epochs: int = 8
    """Full-batch Adam steps per meta-iteration."""
    clip_epsilon: float = 0.2
    """The ratio is clipped to [1 - eps, 1 + eps]."""
    entropy_coef: float = 0.02
    """Weight of the action entropy; at 0 a seed can settle before every block was ever pushed."""

    entropy_max_std: float = 3.0
    """The entropy counts deviations up to this; beyond, nearly all actions are clipped anyway."""

    def __post_init__(self):
        require_finite(self, "ppo.")
        require(self.learning_rate > 0, "ppo.learning_rate", "must be positive")
        require_sizes(self, "ppo.", "num_epochs")
        most = MOST_STEPS // self.num_epochs  # Adam counts its steps
        require_sizes(self, "ppo.", "decay_iterations", low=0, high=most)
        require(0 < self.clip_epsilon < 1, "ppo.clip_epsilon", "must be in (0, 1)")
        require(self.entropy_coef >= 0, "ppo.entropy_coef", "must not be negative")
        require(self.entropy_max_std > 0, "ppo.entropy_max_std", "must be positive")


@dataclass(frozen=True)
class ProMPConfig:
    """What ProMP (Rothfuss 2018) adds to ppo: a KL penalty on the pre-update policies."""

    init_kl_coef: float = 0.1
    """Weight of the penalty at the start, and at least; it adapts after every meta-iteration."""
    target_kl: float = 0.01
    """KL (nats) aimed at: the weight is halved below 2/3 of it, doubled above 3/2 of it."""

    def __post_init__(self):
        require_finite(self, "promp.")
        require(self.init_kl_coef > 0, "promp.init_kl_coef", "must be positive")
        require(self.target_kl > 0, "promp.target_kl", "must be positive")


@dataclass(frozen=True)
class TRPOConfig:
    """Outer step by a trust region (Schulman 2015): the MAESN paper's optimiser."""

    max_kl: float = 0.01
    """Largest mean KL (nats) between the sampling policy and the new one."""
    num_cg_steps: int = 10
    """Conjugate-gradient iterations."""
    damping: float = 1e-5
    """Added to the curvature's diagonal."""
    backtrack_ratio: float = 0.8
    """Each line-search try shrinks the step by this."""
    max_backtracks: int = 15
    """Line-search tries; if none holds the step is rejected."""
    curvature_stride: int = 5
    """The curvature is taken on every n-th control step (1: on all of them)."""

    def __post_init__(self):
        require_finite(self, "trpo.")
        require(self.max_kl > 0, "trpo.max_kl", "must be positive")
        require(self.damping >= 0, "trpo.damping", "must not be negative")
        require(0 < self.backtrack_ratio < 1, "trpo.backtrack_ratio", "must be in (0, 1)")
        require_sizes(self, "trpo.", "num_cg_steps", "max_backtracks", "curvature_stride")


@dataclass(frozen=True)
class MetaConfig:
    """One gradient-based meta-learner; ``explorax.algos`` says which settings are which paper."""

    adapt: Adapt = "latents"
    """What an inner step moves, in meta-training and at meta-test: the task's latent distribution,
    theta, or both."""
    num_inner_steps: int = 1
    """Inner steps per meta-update (0: the outer step sees unadapted tasks)."""
    memory_size: int = 0
    """Units of a GRU that remembers all episodes of a task (RL2). It takes the place of inner
    gradient steps: num_inner_steps then counts the episodes that follow the first one."""
    estimator: Estimator = "loglik"
    """Surrogate of the inner step: what of its derivative the meta-gradient sees."""
    latent_dim: int = 2
    """Size L of the latent z (0: a policy without a latent)."""
    num_train_tasks: int = 100
    """Training tasks N, drawn once from the seed; each owns a latent distribution."""
    meta_batch_size: int = 20
    """Tasks per meta-update, drawn with replacement."""
    num_episodes: int = 40
    """Episodes K per task and stage."""
    inner_lr_mean: float = 3.0
    """Initial inner step size of mu: where the paper's policies ended, far above its start of 1."""
    inner_lr_log_std: float = 1.0
    """Initial inner step size of log sigma: 3 would make some sigma' 20 by noise alone."""
    inner_lr_params: float = 0.1
    """Initial inner step size of theta."""
    learn_inner_lr: bool = True
    """Whether the outer step learns the inner step sizes."""
    init_latent_std: float = 0.1
    """The tasks' mu start at N(0, this^2); log sigma starts at 0."""
    kl_coef: float = 0.05
    """Weight w of KL(N(mu_i, sigma_i) || N(0, I)) on the pre-update latents."""
    discount: float = 0.99
    """Per control step."""
    gae_lambda: float = 1.0
    """GAE's lambda."""
    hidden_sizes: tuple[int, ...] = (100, 100)
    """Units of the policy's ReLU layers."""
    init_action_std: float = 1.0
    """Initial action deviation, in units of the action range [-1, 1]."""
    optimizer: Optimizer = "ppo"
    """The outer optimiser; promp is ppo with a KL penalty on the pre-update policies."""
    test_optimizer: Literal["sgd", "ppo", "trpo"] = "sgd"
    """How a new task is learned: by inner steps (sgd), or by outer steps on it alone."""
    curiosity: Curiosity = "none"
    """Bonus for new states where a task is learned alone: random network distillation, or counts
    of visited cells (for observations of few dimensions)."""
    curiosity_coef: float = 1.0
    """Weight of the bonus beside the reward."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Settings of the outer optimisers ppo and promp."""
    promp: ProMPConfig = field(default_factory=ProMPConfig)
    """Further settings of the outer optimiser promp."""
    trpo: TRPOConfig = field(default_factory=TRPOConfig)
    """Settings of the outer optimiser trpo."""

    def __post_init__(self):
        require_finite(self, "meta.")
        require_sizes(self, "meta.", "num_inner_steps", low=0, high=10)
        require_sizes(self, "meta.", "latent_dim", low=0, high=64)
        require_sizes(self, "meta.", "memory_size", low=0, high=4096)
        require_sizes(self, "meta.", "num_train_tasks", "meta_batch_size")
        require_sizes(self, "meta.", "num_episodes", low=2)
        require(self.curiosity_coef > 0, "meta.curiosity_coef", "must be positive")
        require(self.inner_lr_mean > 0, "meta.inner_lr_mean", "must be positive")
        require(self.inner_lr_log_std > 0, "meta.inner_lr_log_std", "must be positive")
        require(self.inner_lr_params > 0, "meta.inner_lr_params", "must be positive")
        require(self.init_latent_std >= 0, "meta.init_latent_std", "must not be negative")
        require(self.kl_coef >= 0, "meta.kl_coef", "must not be negative")
        require(0 < self.discount <= 1, "meta.discount", "must be in (0, 1]")
        require(0 <= self.gae_lambda <= 1, "meta.gae_lambda", "must be in [0, 1]")
        require_layers(self.hidden_sizes, "meta.hidden_sizes")
        require(self.init_action_std > 0, "meta.init_action_std", "must be positive")
        if self.latent_dim == 0:
            require(
                self.adapt == "params",
                "meta.adapt",
                f"must be 'params' when meta.latent_dim is 0, got '{self.adapt}'",
            )
        if self.optimizer == "promp":  # its weight follows the KL that all epochs but one have made
            least = "must be at least 2 when meta.optimizer is 'promp'"
            require(self.ppo.num_epochs >= 2, "meta.ppo.num_epochs", least)
        if self.num_inner_steps == 0:
            because = "when meta.num_inner_steps is 0"
            require(self.estimator == "loglik", "meta.estimator", f"must be 'loglik' {because}")
            require(self.optimizer != "promp", "meta.optimizer", f"must be ppo or trpo {because}")
        if self.estimator == "emaml":  # a task's credit is beside that of the others
            least = "must be at least 2 when meta.estimator is 'emaml'"
            require(self.meta_batch_size >= 2, "meta.meta_batch_size", least)
        alone = self.test_optimizer != "sgd"
        require(
            alone or self.curiosity == "none",
            "meta.curiosity",
            "needs a meta.test_optimizer that learns a task alone: ppo or trpo",
        )
        if self.memory_size > 0:
            because = "when meta.memory_size is not 0"
            require(self.latent_dim == 0, "meta.latent_dim", f"must be 0 {because}")
            require(self.optimizer == "ppo", "meta.optimizer", f"must be 'ppo' {because}")
            require(not alone, "meta.test_optimizer", f"must be 'sgd' {because}")
            require(self.estimator == "loglik", "meta.estimator", f"must be 'loglik' {because}")
            # else the value after an episode's end would have to be that of the next one's start
            require(self.gae_lambda == 1, "meta.gae_lambda", f"must be 1 {because}")

    def steps_per_update(self, horizon: int) -> int:
        """Environment steps of a meta-update, with episodes of ``horizon`` steps."""
        return self.meta_batch_size * self.num_episodes * (self.num_inner_steps + 1) * horizon


@dataclass(frozen=True)
class SkillConfig:
    """Skills without a task: soft actor-critic on what a discriminator can tell of them."""

    objective: SkillObjective = "diayn"
    """diayn pays for every state reached, under a fixed p(z); vic for the last state of an episode
    alone, and learns p(z)."""
    skill_space: SkillSpace = "categorical"
    """A number of skills, or a latent z ~ N(0, I)."""
    num_skills: int = 50
    """Number of categorical skills M."""
    skill_dim: int = 2
    """Size of z, where skill_space is gaussian."""
    features: str = "full"
    """What the discriminator sees of an observation: one of the names that the environment has."""
    num_train_tasks: int = 100
    """Training tasks N, drawn once from the seed; skills see how they begin, and no reward."""
    num_episodes: int = 100
    """Episodes per iteration, each of one skill throughout."""
    num_gradient_steps: int = 200
    """Gradient steps per iteration."""
    batch_size: int = 128
    """Transitions per gradient step, drawn from the replay buffer."""
    replay_size: int = 1_000_000
    """Transitions that the replay buffer holds; each checkpoint has them all, 280 MB on Push."""
    entropy_coef: float = 0.1
    """Weight of the action entropy beside the intrinsic reward (nats), at every step: vic, which is
    paid once an episode, needs as many times less as an episode has steps."""
    learning_rate: float = 3e-4
    """Adam's step size, for policy, critics and discriminator."""
    prior_learning_rate: float = 0.01
    """Adam's step size for p(z), one step per iteration; vic only."""
    target_rate: float = 0.01
    """Share tau of the critics that goes into their slow copies at each gradient step."""
    discount: float = 0.99
    """Per control step."""
    hidden_sizes: tuple[int, ...] = (128, 128)
    """Units of the ReLU layers of policy, critics and discriminator."""

    def __post_init__(self):
        require_finite(self, "skills.")
        require_sizes(self, "skills.", "num_skills", low=2, high=4096)
        require_sizes(self, "skills.", "skill_dim", high=64)
        sizes = ("num_train_tasks", "num_episodes", "num_gradient_steps", "batch_size")
        require_sizes(self, "skills.", *sizes)
        # the buffer counts up to its size and one iteration more
        require_sizes(self, "skills.", "replay_size", high=MOST_STEPS // 2)
        drawn = self.num_gradient_steps * self.batch_size
        expectation = f"must be at most {MOST_STEPS} together with skills.num_gradient_steps"
        require(drawn <= MOST_STEPS, "skills.batch_size", expectation)
        require(self.entropy_coef >= 0, "skills.entropy_coef", "must not be negative")
        require(self.learning_rate > 0, "skills.learning_rate", "must be positive")
        require(self.prior_learning_rate > 0, "skills.prior_learning_rate", "must be positive")
        require(0 < self.target_rate <= 1, "skills.target_rate", "must be in (0, 1]")
        require(0 < self.discount < 1, "skills.discount", "must be in (0, 1)")
        require_layers(self.hidden_sizes, "skills.hidden_sizes")
        require(
            self.objective == "diayn" or self.skill_space == "categorical",
            "skills.skill_space",
            "must be 'categorical' when skills.objective is 'vic'",
        )


@dataclass(frozen=True)
class LatentSkillConfig:
    """The latents of a meta-learner as skills, which a discriminator pays before adaptation."""

    intrinsic_coef: float = 0.1
    """Weight beta of the intrinsic reward (nats) beside the task's, at the start."""
    schedule: CoefSchedule = "constant"
    """What becomes of the weight in meta-training: it stays, falls linearly to 0, or is learned
    with all else. At meta-test it is what was learned, or that of the start."""
    anneal_iterations: int = 300
    """Meta-iterations after which an annealed weight is 0."""
    features: str = "full"
    """What the discriminator sees of an observation: one of the names that the environment has."""
    learning_rate: float = 1e-3
    """Step size of the discriminator's Adam."""
    num_gradient_steps: int = 4
    """Its gradient steps per meta-iteration, on all episodes of it that are paid."""
    hidden_sizes: tuple[int, ...] = (100, 100)
    """Units of its ReLU layers."""

    def __post_init__(self):
        require_finite(self, "latent_skills.")
        coef = "latent_skills.intrinsic_coef"
        require(self.intrinsic_coef >= 0, coef, "must not be negative")
        if self.schedule == "learned":
            because = "when latent_skills.schedule is 'learned'"
            require(self.intrinsic_coef > 0, coef, f"must be positive {because}")
        require_sizes(self, "latent_skills.", "anneal_iterations", high=MOST_STEPS)
        require_sizes(self, "latent_skills.", "num_gradient_steps")
        require(self.learning_rate > 0, "latent_skills.learning_rate", "must be positive")
        require_layers(self.hidden_sizes, "latent_skills.hidden_sizes")


@dataclass(frozen=True)
class OptionConfig:
    """How a controller uses frozen skills."""

    length: int = 10
    """Control steps c for which a chosen skill acts."""
    residual: bool = False
    """Whether the controller adds an action of its own to the skill's, for as long."""
    init_residual_std: float = 0.1
    """Initial deviation of that action, in units of the action range [-1, 1]."""
    intrinsic_coef: float = 0.0
    """Weight beta (0: none) of log q(k | f(s')) - log p(k) (nats) beside the reward of an option of
    skill k that reaches s': paid before adaptation, and at meta-test until an episode succeeds."""

    def __post_init__(self):
        require_finite(self, "options.")
        require_sizes(self, "options.", "length")
        require(self.init_residual_std > 0, "options.init_residual_std", "must be positive")
        require(self.intrinsic_coef >= 0, "options.intrinsic_coef", "must not be negative")
