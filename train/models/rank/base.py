"""What a ranker is: frozen settings that build an `nn.Module`."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from core.spec import Spec
from train.batch import Features


class RankerModel(Spec):
    """Settings of a ranker: `build` makes a module that maps a `Batch` to `logit_B`.

    A model of several targets (`several`) gives `logit_BT`, in the order of `Features.targets`, where there are more
    than one. The module knows nothing of its loss, optimizer or device; a sigmoid turns its logits into probabilities.
    """

    several: ClassVar[bool] = False
    """Whether it learns several targets; another learns the first alone."""

    kind: str
    """Its name in YAML and in `train.models.RANKERS`."""

    def build(self, features: Features) -> nn.Module:
        """Make the module with fresh weights, drawn from torch's current random state.

        Raises:
            UserError: The model cannot work with these features.
        """
        raise NotImplementedError
