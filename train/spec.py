"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from core.spec import Spec, custom_error, fault_at
from core.union import ByKind
from train.history_batches import HistorySpec
from train.losses.pointwise import POINTWISE, BceSpec, PointwiseLoss
from train.models import RANKERS, RETRIEVERS
from train.models.rank.base import RankerModel
from train.models.retrieve.base import CountedModel, RetrieverModel, TrainedModel
from train.negatives.rows import RowNegativesSpec

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0.0)]
Penalty = Annotated[float, Field(ge=0.0)]


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise custom_error("seeds", f"the seed {twice[0]} stands there twice; each trains a model of its own")
    return seeds


Seeds = Annotated[tuple[Count, ...], AfterValidator(_distinct)]
"""Seeds to train from, one training each; empty: one training, from the seed of the run."""


class OptimizerSpec(Spec):
    """How weights move: AdamW for the dense part, an exact sparse optimizer for embedding tables.

    Attributes:
        rate: Learning rate of the dense part.
        weight_decay: AdamW's decoupled decay of the dense part.
        embedding: Optimizer of the embedding tables.
        embedding_rate: Its learning rate; None: 0.02 for both kinds of Adagrad, `rate` for both kinds of Adam, 0.1 for
            SGD.
        embedding_decay: L2 penalty on the rows that a batch touches.
        clip_norm: Largest global norm of the gradients; None: no clipping.
        warmup_steps: Steps over which both rates rise linearly from 0.
        schedule: What the rates do afterwards, until the last step.
    """

    rate: Rate = 1e-3
    weight_decay: Penalty = 0.0
    embedding: Literal["adagrad", "rowwise_adagrad", "adam", "rowwise_adam", "sgd"] = "rowwise_adagrad"
    embedding_rate: Rate | None = None
    embedding_decay: Penalty = 0.0
    clip_norm: Rate | None = None
    warmup_steps: Count = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"

    @property
    def rate_of_embeddings(self) -> float:
        """Learning rate of the embedding tables."""
        usual = {"adagrad": 0.02, "rowwise_adagrad": 0.02, "sgd": 0.1}
        return usual.get(self.embedding, self.rate) if self.embedding_rate is None else self.embedding_rate


class AverageSpec(Spec):
    """An exponential moving average of all weights, which is what is validated, kept and exported.

    Attributes:
        decay: How much of the average stays at a step; about `1 / (1 - decay)` steps count.
    """

    decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999


class StartSpec(Spec):
    """An earlier run whose model a training begins with.

    Attributes:
        run: A name under the directory of runs, or a directory seen from the config's folder.
        optimizer: Take up the memory of its optimizer too; that run must have kept it.
    """

    run: Annotated[str, Field(min_length=1)]
    optimizer: bool = False


def _named_run(value: Any) -> Any:
    return {"run": value} if isinstance(value, str) else value


StartFrom = Annotated[StartSpec, BeforeValidator(_named_run, json_schema_input_type=str | StartSpec)]


class FitSpec(Spec):
    """What the training of a ranker and of a candidate generator share.

    Attributes:
        start_from: Begin with the weights of an earlier run, `monday` or `{run: monday, optimizer: true}`, from which
            the ETL went on too (`etl.start_from`); None: begin with fresh weights.
        keep_optimizer: Keep the memory of the optimizer beside the weights, for a later `start_from`.
        refit: When the epoch is chosen, train once more on the training and the validation split, for so many epochs:
            that model is judged by the test split and exported.
    """

    start_from: StartFrom | None = None
    keep_optimizer: bool = False
    refit: bool = False


class RankerSpec(FitSpec):
    """Training of a ranker.

    Attributes:
        model: The model, `{kind: dlrm, ...}`.
        epochs: Most passes over the training split.
        batch_size: Rows a step; with `negatives`, as many more.
        history: Tell the model what the row's user met before, `{longest: 50}`; None: don't.
        negatives: Rows that never happened, for data whose rows are all positive, `{kind: uniform, count: 4}`.
        target: Name of the target (`etl.targets`) that is learned, whose figure decides which epoch is kept and whose
            score ranks; a model of several targets learns the others too. None: the first one.
        weights: How much targets count in the loss of a model of several, by name, `{purchase: 5}`; 1 where nothing is
            said, and 0 switches one off.
        loss: What a row costs: `bce`, `{kind: bce, positive_weight: 5}`, `{kind: focal, gamma: 2, alpha: .25}`.
        optimizer: How the weights move.
        average: Keep an average of the weights over the last steps, and use it; None: the weights as they are.
        seeds: Train once from each of these seeds instead of the run's; the best on the validation split is used.
        precision: Of the matrix products of training steps.
        compile: Compile the dense part of training steps; needs a C++ compiler.
        monitor: The figure of the validation split that decides which epoch is kept.
        patience: Epochs without a better figure before training stops.
        checkpoint_seconds: Time between checkpoints; one is also written after each epoch. Results never
            depend on when.
    """

    model: Annotated[RankerModel, ByKind(RANKERS, noun="ranker")]
    epochs: Positive = 5
    batch_size: Positive = 4096
    history: HistorySpec | None = None
    negatives: RowNegativesSpec | None = None
    target: str | None = None
    weights: dict[str, Penalty] = Field(default_factory=dict)
    loss: Annotated[PointwiseLoss, ByKind(POINTWISE, noun="loss")] = BceSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    average: AverageSpec | None = None
    seeds: Seeds = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    monitor: Literal["auc", "logloss"] = "auc"
    patience: Positive = 2
    checkpoint_seconds: Penalty = 120.0


class RetrieverSpec(FitSpec):
    """Training of a candidate generator.

    Attributes:
        model: The model, `{kind: two_tower, ...}`.
        epochs: Most passes over the positive training pairs.
        batch_size: Pairs a step.
        optimizer: How the weights move.
        average: Keep an average of the weights over the last steps, and use it; None: the weights as they are.
        seeds: Train once from each of these seeds instead of the run's; the best on the validation split is used.
        precision: Of the matrix products of training steps; sums, scores and the loss stay float32.
        monitor_k: List length of the recall on the validation split that decides which epoch is kept.
        validate_every: Epochs from one validation to the next; the last epoch is validated too.
        validate_users: Choose the epoch by so many users of the validation split, drawn once; None: by all of them.
        patience: Epochs without a better figure before training stops.
        checkpoint_seconds: Time between checkpoints; one is also written after each epoch. Results never
            depend on when.
    """

    model: Annotated[RetrieverModel, ByKind(RETRIEVERS, noun="retriever")]
    epochs: Positive = 20
    batch_size: Positive = 1024
    optimizer: OptimizerSpec = OptimizerSpec(embedding_rate=0.05)
    average: AverageSpec | None = None
    seeds: Seeds = ()
    precision: Literal["float32", "bfloat16"] = "float32"
    monitor_k: Positive = 50
    validate_every: Positive = 1
    validate_users: Positive | None = None
    patience: Positive = 3
    checkpoint_seconds: Penalty = 120.0

    @model_validator(mode="after")
    def _goes_on(self) -> Self:
        asked = [name for name in ("start_from", "keep_optimizer") if getattr(self, name)]
        if asked and isinstance(self.model, CountedModel):
            told = f"{self.model.kind} is counted from the data at hand, without a start or an optimizer; leave it out"
            raise fault_at((asked[0],), told)
        if self.precision != "float32" and not (isinstance(self.model, TrainedModel) and self.model.dense_layers):
            told = f"{self.model.kind} has no dense layers here that {self.precision} would speed up; leave it out"
            raise fault_at(("precision",), told)
        return self


class TrainSpec(Spec):
    """What to train: a candidate generator, a ranker, or both."""

    retriever: RetrieverSpec | None = None
    ranker: RankerSpec | None = None
