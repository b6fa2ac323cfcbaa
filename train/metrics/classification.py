"""Metrics of predicted probabilities: discrimination, loss and calibration.

Shapes: B rows. Scores are logits or probabilities as each function says; targets are 0 or 1. A figure that the
rows cannot tell (the AUC of one class) is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from train.metrics.sums import mean, total

NAN = float("nan")


def auc(score_B: Tensor, target_B: Tensor) -> float:
    """Exact area under the ROC curve: the chance that a positive scores above a negative, ties counting half.

    The count of ordered pairs is an integer (the Mann-Whitney U statistic), so the result is exact to one
    rounding and does not depend on the order of rows.

    Args:
        score_B: Anything that rises with the probability.
        target_B: 0 or 1.

    Returns:
        The AUC in [0, 1]; NaN with fewer than two classes.

    Example:
        >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
        0.875
    """
    found = auc_of_groups(score_B, target_B, torch.zeros_like(score_B, dtype=torch.int64))
    return float(found.value_U.item()) if len(found.value_U) else NAN


@dataclass(frozen=True)
class GroupedAuc:
    """A grouped AUC and what it speaks of.

    Attributes:
        value: Mean of the groups' AUCs, weighted by their rows; NaN when no group has two classes.
        groups: Groups with both classes.
        left_out: Groups with one class, which have no AUC.
        rows: Rows of the groups that count.
    """

    value: float
    groups: int
    left_out: int
    rows: int


def grouped_auc(score_B: Tensor, target_B: Tensor, group_B: Tensor) -> GroupedAuc:
    """AUC within each group (user), averaged with the groups' rows as weights.

    Source: Zhou et al. 2018, Deep Interest Network, equation 7, with rows for impressions.

    Args:
        score_B: Anything that rises with the probability.
        target_B: 0 or 1.
        group_B: Integers; equal ones form a group.

    Example:
        >>> score, target = torch.tensor([1.0, 2.0, 2.0, 1.0, 5.0]), torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0])
        >>> grouped_auc(score, target, torch.tensor([7, 7, 8, 8, 9]))
        GroupedAuc(value=0.5, groups=2, left_out=1, rows=4)
    """
    found = auc_of_groups(score_B, target_B, group_B)
    both_U = ~found.value_U.isnan()
    rows_U, value_U = found.rows_U[both_U], found.value_U[both_U]
    rows = int(rows_U.sum())
    value = total(rows_U * value_U) / rows if rows else NAN
    return GroupedAuc(value, len(value_U), int((~both_U).sum()), rows)


@dataclass(frozen=True)
class AucOfGroups:
    """The AUC of each group.

    Attributes:
        group_U: The groups, rising.
        value_U: float64; NaN where a group has one class.
        rows_U: Rows of each group.
    """

    group_U: Tensor
    value_U: Tensor
    rows_U: Tensor


def auc_of_groups(score_B: Tensor, target_B: Tensor, group_B: Tensor) -> AucOfGroups:
    """AUC within each group; arguments as `grouped_auc`."""
    order = torch.argsort(score_B, stable=True)
    order = order[torch.argsort(group_B[order], stable=True)]
    positive = (target_B[order] > 0.5).to(torch.int64)
    group_ends = _ends(group_B[order])
    tie_ends = torch.unique(torch.cat([_ends(score_B[order]), group_ends]))
    positives_U, negatives_U = _runs(positive, group_ends), _runs(1 - positive, group_ends)
    owner_T = torch.searchsorted(group_ends, tie_ends)
    earlier_U = torch.cumsum(negatives_U, 0) - negatives_U
    upto_T = torch.cumsum(1 - positive, 0)[tie_ends] - earlier_U[owner_T]
    # A positive beats the negatives before its tie and half of those in it: doubled, that is an integer.
    twice_T = _runs(positive, tie_ends) * (2 * upto_T - _runs(1 - positive, tie_ends))
    twice_U = torch.zeros_like(positives_U).index_add_(0, owner_T, twice_T)
    pairs_U = positives_U * negatives_U
    value_U = twice_U.to(torch.float64) / (2 * pairs_U).to(torch.float64)  # 0 / 0 is NaN
    return AucOfGroups(group_B[order][group_ends], value_U, positives_U + negatives_U)


def auc_influence(score_B: Tensor, target_B: Tensor) -> Tensor:
    """How much each row adds to the AUC's error: what the AUC moves by when the row counts once more, float64 [B].

    A positive is placed by the share of negatives below it (half of those equal), a negative by the share of positives
    above it; a row's influence is its place less the AUC, over the number of rows of its class. They add up to zero.

    Source: Hanley and Hajian-Tilaki 1997, Sampling variability of nonparametric estimates of the areas under
    receiver operating characteristic curves; their sum within a user is what Obuchowski 1997 takes for clustered rows.

    Returns:
        NaN everywhere with fewer than two classes.

    Example:
        >>> auc_influence(torch.tensor([0.1, 0.4, 0.6, 0.8]), torch.tensor([0.0, 1.0, 0.0, 1.0])).tolist()
        [0.125, -0.125, -0.125, 0.125]
    """
    positive_B = target_B > 0.5
    influence_B = torch.full((len(score_B),), NAN, dtype=torch.float64, device=score_B.device)
    for own_B, sign in ((positive_B, 1.0), (~positive_B, -1.0)):
        own, other = score_B[own_B], torch.sort(score_B[~own_B]).values
        if not len(own) or not len(other):
            return influence_B
        below = torch.searchsorted(other, own, right=False) + torch.searchsorted(other, own, right=True)
        place = sign * below.to(torch.float64) / (2 * len(other))
        influence_B[own_B] = (place - mean(place)) / len(own)
    return influence_B


def _ends(sorted_B: Tensor) -> Tensor:
    """The last position of each run of equal values."""
    if not len(sorted_B):
        return torch.zeros(0, dtype=torch.int64, device=sorted_B.device)
    last = torch.ones(1, dtype=torch.bool, device=sorted_B.device)
    return torch.cat([sorted_B[1:] != sorted_B[:-1], last]).nonzero().squeeze(1)


def _runs(count_B: Tensor, ends: Tensor) -> Tensor:
    """Sum of counts in each run, given the last positions of the runs."""
    upto = torch.cumsum(count_B, 0)[ends]
    return torch.diff(upto, prepend=upto.new_zeros(1))


def logloss(logit_B: Tensor, target_B: Tensor) -> float:
    """Mean negative log-likelihood in nats, from logits, so that no probability has to be clipped.

    -t log(sigmoid(x)) - (1 - t) log(1 - sigmoid(x)) = softplus(x) - t x.

    Example:
        >>> round(logloss(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])), 6)
        0.693147
    """
    return mean(losses(logit_B, target_B))


def losses(logit_B: Tensor, target_B: Tensor) -> Tensor:
    """The negative log-likelihood of each row in nats, float64; see `logloss`."""
    logit, target = logit_B.to(torch.float64), target_B.to(torch.float64)
    return softplus(logit, threshold=40.0) - target * logit


def entropy(rate: float) -> float:
    """Entropy of a Bernoulli variable in nats; 0 at the ends."""
    return -sum(p * math.log(p) for p in (rate, 1.0 - rate) if p > 0.0)


def normalised_entropy(logit_B: Tensor, target_B: Tensor) -> float:
    """Logloss over the entropy of the rows' own positive rate: below 1 when the model knows more than the rate.

    Source: He et al. 2014, Practical Lessons from Predicting Clicks on Ads at Facebook, equation 1.

    Returns:
        A ratio; NaN with fewer than two classes.
    """
    rate = mean((target_B > 0.5).to(torch.float64))
    base = NAN if math.isnan(rate) else entropy(rate)
    return logloss(logit_B, target_B) / base if base else NAN


def accuracy(probability_B: Tensor, target_B: Tensor) -> float:
    """Share of rows on the right side of one half; exactly one half counts as a negative prediction."""
    return mean((probability_B > 0.5) == (target_B > 0.5))


def calibration(probability_B: Tensor, target_B: Tensor) -> float:
    """Mean prediction over mean target: 1 is calibrated, above 1 promises too much; NaN without positives."""
    positives = total(target_B)
    return total(probability_B) / positives if positives else NAN


@dataclass(frozen=True)
class Bin:
    """Rows whose predictions lie close together."""

    rows: int
    mean_prediction: float
    mean_target: float


def calibration_bins(probability_B: Tensor, target_B: Tensor, *, bins: int, by: str) -> list[Bin]:
    """Group rows by prediction and compare, in each bin, what was promised with what came. Empty bins are left out.

    Args:
        probability_B: In [0, 1].
        target_B: 0 or 1.
        bins: How many.
        by: `width`: bin i holds predictions in (i / bins, (i + 1) / bins]; `mass`: bins of equal size, equal
            predictions shared among neighbours in order of rows.

    Example:
        >>> probability, target = torch.tensor([0.25, 0.5, 0.75]), torch.tensor([0.0, 1.0, 1.0])
        >>> calibration_bins(probability, target, bins=2, by="width")[0]
        Bin(rows=2, mean_prediction=0.375, mean_target=0.5)
    """
    probability, target = probability_B.to(torch.float64), target_B.to(torch.float64)
    if by == "width":
        edges = torch.linspace(0.0, 1.0, bins + 1, dtype=torch.float64, device=probability.device)[1:-1]
        bin_B = torch.bucketize(probability, edges)
    else:
        place = torch.argsort(torch.argsort(probability, stable=True))
        bin_B = place * bins // max(1, len(probability))
    chosen = [bin_B == index for index in range(bins)]
    return [Bin(int(rows.sum()), mean(probability[rows]), mean(target[rows])) for rows in chosen if bool(rows.any())]


def expected_calibration_error(probability_B: Tensor, target_B: Tensor, *, bins: int = 15) -> float:
    """Mean distance between promised and observed rate over bins of equal width, weighted by rows.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    found = calibration_bins(probability_B, target_B, bins=bins, by="width")
    gaps = sum(one.rows * abs(one.mean_prediction - one.mean_target) for one in found)
    return gaps / probability_B.numel() if found else NAN


def roc_points(score_B: Tensor, target_B: Tensor, *, points: int = 200) -> list[tuple[float, float]]:
    """Points (false positive rate, true positive rate) of the ROC curve, thinned, both ends included.

    Returns:
        At most `points` + 1 points, rising; none with fewer than two classes.
    """
    score, order = torch.sort(score_B, descending=True, stable=True)
    positive = (target_B[order] > 0.5).to(torch.int64)
    ends = _ends(score)
    upto_P = torch.cumsum(positive, 0)[ends]
    upto_N = ends + 1 - upto_P
    if not len(ends) or not int(upto_P[-1]) or not int(upto_N[-1]):
        return []
    keep = torch.unique(torch.linspace(0, len(ends) - 1, points, device=ends.device).round().to(torch.int64))
    rates = [(upto[keep].to(torch.float64) / float(upto[-1])).tolist() for upto in (upto_N, upto_P)]
    return [(0.0, 0.0), *zip(*rates, strict=True)]
