"""What moves all weights of a module: one sparse optimizer for its embedding tables, AdamW for the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from train.layers.embedding import FusedEmbedding
from train.optim.average import Average
from train.optim.schedule import factor
from train.optim.sparse import EMBEDDING_OPTIMIZERS, RowGradient
from train.spec import AverageSpec, OptimizerSpec

BEFORE = ":steps"
"""In the memory of an optimizer: the steps of earlier trainings."""


class Mover:
    """Moves the weights of a module by their gradients.

    Args:
        module: Its `FusedEmbedding` tables get the sparse optimizer.
        spec: The settings.
        steps: Steps of the whole training, for the schedule.
        average: Which average of the weights to keep beside them; None: none.

    Example:
        >>> table = FusedEmbedding([3], 2)
        >>> mover = Mover(table, OptimizerSpec(), steps=10)
        >>> table(torch.tensor([[1]])).sum().backward()
        >>> mover.step(0)
        >>> sorted(mover.state())
        ['table.weight:accumulator']
    """

    def __init__(
        self, module: nn.Module, spec: OptimizerSpec, *, steps: int, average: AverageSpec | None = None
    ) -> None:
        self._spec, self._steps = spec, steps
        tables = {id(part.weight) for part in module.modules() if isinstance(part, FusedEmbedding)}
        named = dict(module.named_parameters())
        self._tables = {name: weight for name, weight in named.items() if id(weight) in tables}
        self._dense = {name: weight for name, weight in named.items() if id(weight) not in tables}
        self._sparse = EMBEDDING_OPTIMIZERS[spec.embedding]()
        self._states = {name: self._sparse.fresh(weight.detach()) for name, weight in self._tables.items()}
        self._adamw = _adamw(list(self._dense.values()), spec) if self._dense else None
        self._average = None if average is None else Average(self._tables, self._dense, average.decay)
        self._before = 0  # steps of an earlier training whose memory was taken up

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rates of the dense part and of the embeddings at a step."""
        spec = self._spec
        now = factor(step, warmup=spec.warmup_steps, total=self._steps, shape=spec.schedule)
        return now * spec.rate, now * spec.rate_of_embeddings

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Move every weight that has a gradient, then forget the gradients; `step` counts from 0."""
        rate, embedding_rate = self.rates(step)
        gradients = {
            name: RowGradient.of(weight.grad) for name, weight in self._tables.items() if weight.grad is not None
        }
        if self._spec.clip_norm is not None:
            self._clip(gradients, self._spec.clip_norm)
        for name, gradient in gradients.items():
            weight = self._tables[name]
            if self._spec.embedding_decay > 0.0:
                touched_UE = weight.index_select(0, gradient.rows_U)
                gradient.values_UE.add_(touched_UE, alpha=self._spec.embedding_decay)
            if self._average is not None:
                self._average.catch_up(name, gradient.rows_U)
            self._sparse.update(weight, self._states[name], gradient, rate=embedding_rate, step=self._before + step + 1)
            weight.grad = None
        if self._adamw is not None:
            for group in self._adamw.param_groups:
                group["lr"] = rate
            self._adamw.step()
            self._adamw.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.step({name: gradient.rows_U for name, gradient in gradients.items()}, step)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the module holds the averages of its weights, if averages are kept."""
        if self._average is None:
            yield
            return
        self._average.swap()
        try:
            yield
        finally:
            self._average.swap()

    def _clip(self, gradients: Mapping[str, RowGradient], limit: float) -> None:
        """Scale all gradients together to a global norm of at most `limit` (Pascanu et al., 2013)."""
        values = [gradient.values_UE for gradient in gradients.values()]
        values += [weight.grad for weight in self._dense.values() if weight.grad is not None]
        if not values:
            return
        norm = torch.stack([torch.linalg.vector_norm(one) for one in values]).norm()
        scale = (limit / (norm + 1e-12)).clamp(max=1.0)
        for one in values:
            one.mul_(scale)

    def state(self) -> dict[str, Tensor]:
        """The optimizers' memory, by `WEIGHT:NAME`: the same whatever order or device the weights have."""
        found = {f"{weight}:{name}": value for weight, state in self._states.items() for name, value in state.items()}
        if self._adamw is not None:
            for weight, parameter in self._dense.items():
                found |= {f"{weight}:{name}": value for name, value in self._adamw.state[parameter].items()}
        return found | ({BEFORE: torch.tensor(self._before)} if self._before else {})

    def memory(self, steps: int) -> dict[str, Tensor]:
        """The state for a later training to take up, which is told that `steps` steps were done in this one.

        Adam's moments of many steps must not be corrected as if they were those of the first.
        """
        return {**self.state(), BEFORE: torch.tensor(self._before + steps)}

    def average_state(self) -> dict[str, Tensor]:
        """The averages and what they need to go on; empty where none are kept."""
        return {} if self._average is None else self._average.state()

    def load_average(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `average_state` gave."""
        if self._average is not None:
            self._average.load(state)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up the memory that `state` gave, on whatever device it lies."""
        for key, value in state.items():
            weight, _, name = key.rpartition(":")
            if key == BEFORE:
                self._before = int(value)
            elif weight in self._states:
                self._states[weight][name].copy_(value)
            elif self._adamw is not None:
                parameter = self._dense[weight]
                self._adamw.state[parameter][name] = value.to(parameter.device, copy=True)


def _adamw(weights: list[nn.Parameter], spec: OptimizerSpec) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 2019); vectors and scalars (biases) do not decay."""
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": spec.weight_decay},
        {"params": [weight for weight in weights if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=spec.rate, fused=True)
