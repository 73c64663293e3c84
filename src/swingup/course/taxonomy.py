"""This map shows all algorithms of the lecture and of this library: what each runs, evaluates and improves.

`docs/course/kinds.md` draws its tree and its table from here, and a test holds the two together: every name in
`swingup.algos.ALGOS` has exactly one entry. The questions to ask of any algorithm are the lecture's (section 1.3).
"""

from typing import Literal, NamedTuple

from swingup.algos import ALGOS

POLICY = ("model-free", "policy optimisation")
BETWEEN = ("model-free", "between the two")
DEEP_Q = ("model-free", "Q-learning", "with networks")
TABLES = ("model-free", "Q-learning", "in tables")
LEARNED = ("model-based", "learn the model")
GIVEN = ("model-based", "given the model")


class Entry(NamedTuple):
    """An entry of the map is one algorithm."""

    title: str  # its usual name
    family: tuple[str, ...]  # where in the tree, from the root
    model: Literal["none", "learned", "given"]  # of the environment: does it use one, and from where
    control: Literal["policy", "Q", "planner", "both", "none"]  # what picks actions; both: policy and planner
    data: Literal["on-policy", "off-policy", "none"]  # on: from the present policy's own experience only
    paper: str  # authors and year
    source: str  # arXiv:..., doi:..., or where it was published
    run: str  # how it acts, or what it does instead of acting
    evaluate: str  # what it estimates, and from what
    improve: str  # what makes its actions better
    name: str = ""  # in swingup.algos.ALGOS, once it is there
    page: str = ""  # of the documentation, where the library has it in another form than an entry of ALGOS

    @property
    def algo(self) -> str | None:
        """Return what `swingup train` calls it, or None if it is not one of the library's algorithms."""
        return self.name if self.name in ALGOS else None

    @property
    def where(self) -> str | None:
        """Return the page that tells more, without its suffix; None where the library does not have it."""
        return f"algorithms/{self.algo}" if self.algo else self.page or None

    @property
    def link(self) -> str | None:
        """Return where to read the paper, or None for a book or a report without an address that lasts."""
        home = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
        kind, _, number = self.source.partition(":")
        return home[kind] + number if number else None


# fmt: off
TAXONOMY = (
    # --- Policy optimisation
    Entry("VPG", POLICY, "none", "policy", "on-policy", "Williams 1992; Sutton et al. 2000",
          "doi:10.1007/BF00992696", name="vpg",
          run="Episodes with the present policy.",
          evaluate="Rewards-to-go, and V by regression on them; from these the advantage.",
          improve="One gradient step: actions with a positive advantage become more likely."),
    Entry("A2C / A3C", POLICY, "none", "policy", "on-policy", "Mnih et al. 2016",
          "arXiv:1602.01783", name="a2c",
          run="A few env steps of the policy in many environments; A3C's do not wait for each other.",
          evaluate="n-step advantages from V, which is fitted at the same time.",
          improve="One gradient step on policy and V together, with a bonus for entropy."),
    Entry("TRPO", POLICY, "none", "policy", "on-policy", "Schulman et al. 2015",
          "arXiv:1502.05477", name="trpo",
          run="A batch of episodes with the present policy.",
          evaluate="Advantages by GAE, V by regression.",
          improve="The longest natural-gradient step with a KL divergence below a bound."),
    Entry("PPO", POLICY, "none", "policy", "on-policy", "Schulman et al. 2017",
          "arXiv:1707.06347", name="ppo",
          run="A rollout of the present policy in many environments.",
          evaluate="Advantages by GAE, V by regression.",
          improve="Several epochs of gradient steps on that rollout, with a clipped probability ratio."),
    # --- Between the two
    Entry("DDPG", BETWEEN, "none", "policy", "off-policy", "Lillicrap et al. 2016",
          "arXiv:1509.02971", name="ddpg",
          run="A deterministic policy plus noise; transitions go into a replay.",
          evaluate="Q of the policy, by bootstrapping from the replay with a target network.",
          improve="The policy climbs the gradient of Q with respect to the action."),
    Entry("TD3", BETWEEN, "none", "policy", "off-policy", "Fujimoto et al. 2018",
          "arXiv:1802.09477", name="td3",
          run="As DDPG.",
          evaluate="Two Q networks; the target is the smaller one, at a slightly perturbed action.",
          improve="As DDPG, but less often than Q is updated."),
    Entry("SAC", BETWEEN, "none", "policy", "off-policy", "Haarnoja et al. 2018",
          "arXiv:1801.01290", name="sac",
          run="A random policy; transitions go into a replay.",
          evaluate="Two Q networks of reward plus entropy; the target is the smaller one.",
          improve="The policy moves towards the softmax of Q; its entropy has a price that is learnt."),
    Entry("SAC, discrete", BETWEEN, "none", "policy", "off-policy", "Christodoulou 2019",
          "arXiv:1910.07207", name="sac_discrete",
          run="As SAC, with a categorical policy.",
          evaluate="As SAC, with one output per action, so that the mean over actions is exact.",
          improve="As SAC, with that mean in place of samples."),
    # --- Q-learning with networks
    Entry("DQN", DEEP_Q, "none", "Q", "off-policy", "Mnih et al. 2015",
          "doi:10.1038/nature14236", name="dqn",
          run="ε-greedy in Q; transitions go into a replay.",
          evaluate="Q*, by regression on bootstrapped targets from a network that stands still for a while.",
          improve="The action with the largest Q."),
    Entry("C51", DEEP_Q, "none", "Q", "off-policy", "Bellemare et al. 2017",
          "arXiv:1707.06887", name="c51",
          run="As DQN.",
          evaluate="The distribution of the return, as probabilities of 51 fixed values.",
          improve="The action with the largest mean."),
    Entry("QR-DQN", DEEP_Q, "none", "Q", "off-policy", "Dabney et al. 2018",
          "arXiv:1710.10044", name="qr_dqn",
          run="As DQN.",
          evaluate="The distribution of the return, as quantiles.",
          improve="The action with the largest mean."),
    Entry("HER", DEEP_Q, "none", "Q", "off-policy", "Andrychowicz et al. 2017",
          "arXiv:1707.01495", page="hindsight",
          run="As the algorithm it is added to: any with a replay.",
          evaluate="As that one, but some transitions are retold as if what was reached had been the goal.",
          improve="As that one."),
    # --- Q-learning in tables
    Entry("Q-learning", TABLES, "none", "Q", "off-policy", "Watkins and Dayan 1992",
          "doi:10.1007/BF00992698", name="q_learning",
          run="ε-greedy in Q, or any policy that tries everything.",
          evaluate="Q*, from each transition with the largest Q of the next state.",
          improve="The action with the largest Q."),
    Entry("Double Q-learning", TABLES, "none", "Q", "off-policy", "van Hasselt 2010",
          "Advances in Neural Information Processing Systems 23", name="double_q_learning",
          run="ε-greedy in the mean of two tables.",
          evaluate="Two tables of Q*; one picks the next action, the other says what it is worth.",
          improve="The action with the largest mean."),
    Entry("SARSA", TABLES, "none", "Q", "on-policy", "Rummery and Niranjan 1994",
          "technical report CUED/F-INFENG/TR 166", name="sarsa",
          run="ε-greedy in Q.",
          evaluate="Q of the policy that acts, from the next action that it really takes.",
          improve="The action with the largest Q, most of the time."),
    Entry("Expected SARSA", TABLES, "none", "Q", "on-policy", "van Seijen et al. 2009",
          "doi:10.1109/ADPRL.2009.4927542", name="expected_sarsa",
          run="ε-greedy in Q.",
          evaluate="Q of the policy that acts, from the mean over its next actions.",
          improve="The action with the largest Q, most of the time."),
    Entry("TD(λ)", TABLES, "none", "none", "on-policy", "Sutton 1988",
          "doi:10.1007/BF00115009", name="td_lambda",
          run="The policy that is to be judged.",
          evaluate="Its V, from the λ-average of returns of all lengths.",
          improve="Nothing: it predicts. With Q in place of V it becomes SARSA(λ), which controls."),
    # --- Learn the model
    Entry("World Models", LEARNED, "learned", "policy", "off-policy", "Ha and Schmidhuber 2018",
          "arXiv:1803.10122", name="world_models",
          run="The policy, on the state of a recurrent model that it sees the world through.",
          evaluate="The return of whole episodes, also of ones dreamt in the model.",
          improve="An evolution strategy picks better weights of a small policy."),
    Entry("I2A", LEARNED, "learned", "policy", "on-policy", "Racanière et al. 2017",
          "arXiv:1707.06203", name="i2a",
          run="A policy that also reads what its model imagines of each action.",
          evaluate="n-step advantages from V, as A3C.",
          improve="The policy gradient, through the reading of imagined futures too."),
    Entry("PETS", LEARNED, "learned", "planner", "off-policy", "Chua et al. 2018",
          "arXiv:1805.12114", name="pets",
          run="The first action of the best plan in an ensemble of learnt models; then it plans anew.",
          evaluate="The return of each plan, on average over the members of the ensemble.",
          improve="A better model from all data; and in each env step a search over plans."),
    Entry("MBMF", LEARNED, "learned", "both", "off-policy", "Nagabandi et al. 2017",
          "arXiv:1708.02596", name="mbmf",
          run="Random action sequences, tried in a learnt model: the first action of the best is taken.",
          evaluate="The reward that the model predicts for each sequence.",
          improve="A better model; in the end a policy imitates the planner, and TRPO goes on with it."),
    Entry("MBVE", LEARNED, "learned", "policy", "off-policy", "Feinberg et al. 2018",
          "arXiv:1803.00101", name="mve",
          run="As DDPG.",
          evaluate="Q from targets that go a few imagined env steps ahead before they bootstrap.",
          improve="As DDPG."),
    Entry("ME-TRPO", LEARNED, "learned", "policy", "off-policy", "Kurutach et al. 2018",
          "arXiv:1802.10592", name="me_trpo",
          run="The policy, for new data to fit an ensemble of models to.",
          evaluate="Advantages in rollouts imagined by the models.",
          improve="TRPO on these rollouts, until the models no longer agree that it helps."),
    Entry("STEVE", LEARNED, "learned", "policy", "off-policy", "Buckman et al. 2018",
          "arXiv:1807.01675", name="steve",
          run="As DDPG.",
          evaluate="Q from targets of all lengths, each weighed by how well models and critics agree on it.",
          improve="As DDPG."),
    Entry("MBPO", LEARNED, "learned", "policy", "off-policy", "Janner et al. 2019",
          "arXiv:1906.08253", name="mbpo",
          run="The policy, for new data; and a few env steps at a time in the model, from real states.",
          evaluate="Q of the policy, from imagined and some real transitions, as SAC does.",
          improve="As SAC, with many gradient steps for each real env step."),
    # --- Given the model
    Entry("Value iteration", GIVEN, "given", "Q", "none", "Bellman 1957",
          "doi:10.1512/iumj.1957.6.56038", name="value_iteration",
          run="Nothing: it sweeps over all states of a known MDP.",
          evaluate="V* or Q*, by applying Bellman's optimality operator again and again.",
          improve="The greedy action; the maximum is in the operator."),
    Entry("Policy iteration", GIVEN, "given", "Q", "none", "Howard 1960",
          "Dynamic Programming and Markov Processes, MIT Press", name="policy_iteration",
          run="Nothing: it solves a known MDP.",
          evaluate="V of the present policy, exactly, by linear algebra.",
          improve="The greedy policy of that V, until it no longer changes."),
    Entry("MPC", GIVEN, "given", "planner", "none", "García et al. 1989",
          "doi:10.1016/0005-1098(89)90002-2", name="mpc",
          run="The first action of the best plan; then it plans anew.",
          evaluate="The return that the model predicts for each plan, with V at its end if there is one.",
          improve="A search over plans: by samples, by gradients or exactly."),
    Entry("Expert Iteration", GIVEN, "given", "both", "off-policy", "Anthony et al. 2017",
          "arXiv:1705.08439", page="algorithms/alphazero",
          run="Tree search, guided by a network: the expert.",
          evaluate="The values of the search tree, and V by regression on outcomes.",
          improve="The network, the apprentice, imitates the search; then it guides a better search."),
    Entry("AlphaZero", GIVEN, "given", "both", "off-policy", "Silver et al. 2017",
          "arXiv:1712.01815", name="alphazero",
          run="Games against itself; tree search guided by a network picks the moves.",
          evaluate="The network's value, by regression on who won.",
          improve="The network's policy moves towards the visit counts of the search."),
)
# fmt: on
