"""From a run to what its report shows."""

from __future__ import annotations

from pipeline.report import curves, drift, examples, judgement, profile, results, stages
from pipeline.report.files import Run
from pipeline.report.view import Report


def build(run: Run) -> Report:
    """Read every part of a run that is there."""
    return Report(
        name=str(run.setting("name") or run.path.name),
        lead=stages.lead(run),
        facts=results.headline(run) + stages.facts(run),
        verdicts=results.verdicts(run),
        stages=stages.timeline(run),
        total=stages.total(run),
        profile=profile.columns(run),
        profile_note=profile.note(run),
        drift=drift.figures(run),
        guard=drift.guard(run),
        curves=curves.figures(run),
        results=results.tables(run),
        judgement=judgement.figures(run),
        examples=examples.examples(run),
        examples_note=examples.note(run),
        config=run.config,
        versions=stages.versions(run),
    )
