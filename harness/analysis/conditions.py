"""Whether the numbers may be believed: controls, equal conditions, and the facts of the run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from harness.analysis.record import RunRecord
from harness.analysis.rows import model_name
from harness.analysis.tables import CandidateFacts, ControlCheck, FairnessCheck, RunFacts, TrialRow
from harness.schema.candidate import Candidate
from harness.schema.result import AttemptResult
from harness.schema.sandbox import BaseSubstitution, ImageFacts

CONTROLS = frozenset({"oracle", "nop"})
"""The control agents: a sound task is passed by the first and not by the second."""


def control_checks(candidates: Sequence[Candidate], rows: Sequence[TrialRow]) -> tuple[ControlCheck, ...]:
    """Check each task with each control: an oracle that fails or a nop that passes makes the task unsound."""
    controls = {c.name: c.agent for c in candidates if c.role == "control" and c.agent in CONTROLS}
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        if row.candidate in controls:
            places[row.task, row.candidate].append(position)
    return tuple(_control(task, name, controls[name], found, rows) for (task, name), found in places.items())


def _control(task: str, name: str, agent: str, places: Sequence[int], rows: Sequence[TrialRow]) -> ControlCheck:
    wanted = agent == "oracle"
    scored = [rows[place] for place in places if rows[place].scored]
    wrong = sum(row.passed is not wanted for row in scored)
    status: Literal["ok", "unsound", "unchecked"] = "ok"
    text = f"the {agent} {'passes' if wanted else 'does not pass'}"
    if wrong:
        status = "unsound"
        did = "fails" if wanted else "passes"
        text = f"the {agent} {did} {wrong} of {len(scored)}: results on this task say nothing"
    elif len(scored) < len(places):
        status = "unchecked"
        text = f"{len(places) - len(scored)} of {len(places)} {agent} trials have no verdict"
    return ControlCheck(
        task=task,
        control=name,
        expected="pass" if wanted else "fail",
        status=status,
        trials=tuple(places),
        text=text,
    )


def fairness(record: RunRecord) -> tuple[FairnessCheck, ...]:
    """Check that the candidates met the same tasks, images, limits, harness and hosts."""
    return (
        _same_tasks(record),
        _same_limits(record),
        _same_harness(record),
        _same_images(record),
        _same_models(record),
        _bases(record),
        _trust(record),
    )


def _same_tasks(record: RunRecord) -> FairnessCheck:
    names = {c.name for c in record.plan.candidates if c.role == "candidate"}
    sets: dict[str, Counter[str]] = {name: Counter() for name in names}
    for trial in record.plan.trials:
        if trial.candidate in names:
            sets[trial.candidate][trial.task] += 1
    distinct = {tuple(sorted(counts.items())) for counts in sets.values()}
    if len(distinct) <= 1:
        digests = tuple(f"{task.name} {task.digest[:12]}" for task in record.plan.tasks)
        text = "every candidate was planned on the same task versions, equally often"
        return FairnessCheck(name="tasks", status="ok", text=text, details=digests)
    details = tuple(f"{n}: {len(c)} tasks, {sum(c.values())} trials" for n, c in sorted(sets.items()))
    same_tasks = len({frozenset(counts) for counts in sets.values()}) == 1
    text = f"the candidates were planned {'unequally often' if same_tasks else 'on different tasks'}"
    return FairnessCheck(name="tasks", status="warn" if same_tasks else "bad", text=text, details=details)


def _same_limits(record: RunRecord) -> FairnessCheck:
    limits = limits_of(record)
    shown = ", ".join(f"{name} {value:g}" for name, value in limits.items()) or "none but the tasks' own"
    factor = record.plan.settings.timeout_multiplier
    text = f"one set of limits for all ({shown}{f'; times × {factor:g}' if factor != 1 else ''})"
    return FairnessCheck(name="limits", status="ok", text=text)


def limits_of(record: RunRecord) -> dict[str, float]:
    """Return the limits of the run that are set."""
    return {name: float(value) for name, value in record.plan.settings.limits if value is not None}


def _same_harness(record: RunRecord) -> FairnessCheck:
    versions = sorted({record.plan.provenance.version, *(line.version for line in record.opened)})
    hosts = sorted({line.host for line in record.opened})
    problems = []
    if len(versions) > 1:
        problems.append(f"{len(versions)} versions of the harness took part ({', '.join(versions)})")
    if len(hosts) > 1:
        problems.append(f"{len(hosts)} machines took part ({', '.join(hosts)})")
    if record.plan.provenance.dirty:
        problems.append("the harness had uncommitted changes")
    text = "; ".join(problems) or f"one version of the harness ({versions[0]}) on one machine"
    return FairnessCheck(name="harness", status="warn" if problems else "ok", text=text)


def _images(record: RunRecord) -> dict[str, dict[str, ImageFacts]]:
    """Task → image id → facts, of the attempts that count."""
    images: dict[str, dict[str, ImageFacts]] = defaultdict(dict)
    for trial in record.trials:
        if trial.counted and trial.counted.image:
            images[trial.plan.task][trial.counted.image.image_id] = trial.counted.image
    return images


def _same_images(record: RunRecord) -> FairnessCheck:
    images = _images(record)
    if not images:
        return FairnessCheck(name="images", status="warn", text="no image is known yet")
    differing = {task: found for task, found in images.items() if len(found) > 1}
    details = tuple(f"{task}: {', '.join(image[:19] for image in found)}" for task, found in differing.items())
    rebuilt = all(_one_context(list(found.values())) for found in differing.values())
    if not differing:
        text = "every trial of a task started from the same image"
        facts = tuple(f"{task}: {next(iter(found))[:19]}" for task, found in images.items())
        return FairnessCheck(name="images", status="ok", text=text, details=facts)
    if rebuilt:
        text = f"the images of {len(differing)} tasks were built anew from the same files during the run"
        return FairnessCheck(name="images", status="warn", text=text, details=details)
    text = f"trials of {len(differing)} tasks started from different images"
    return FairnessCheck(name="images", status="bad", text=text, details=details)


def _one_context(facts: Sequence[ImageFacts]) -> bool:
    contexts = {image.context_digest for image in facts}
    return len(contexts) == 1 and None not in contexts


def _same_models(record: RunRecord) -> FairnessCheck:
    served = served_models(record)
    drifted = {name: models for name, models in served.items() if len(models) > 1}
    if drifted:
        text = "a provider answered one candidate with several models"
        details = tuple(f"{name}: {', '.join(models)}" for name, models in drifted.items())
        return FairnessCheck(name="models", status="warn", text=text, details=details)
    text = "each candidate was answered by one model" if served else "no provider named the model that answered"
    return FairnessCheck(name="models", status="ok", text=text)


def served_models(record: RunRecord) -> dict[str, tuple[str, ...]]:
    """Return the models that providers said they answered with, by candidate."""
    served: dict[str, set[str]] = defaultdict(set)
    for trial in record.trials:
        for line in trial.ended:
            if line.result.served_models:
                served[trial.plan.candidate].update(line.result.served_models)
    return {name: tuple(sorted(models)) for name, models in served.items()}


def _bases(record: RunRecord) -> FairnessCheck:
    found = substitutions(record)
    if not found:
        return FairnessCheck(name="base images", status="ok", text="no base image was substituted")
    details = tuple(
        f"{s.asked} → {s.used}: {s.reason}{f' (differs: {s.differs})' if s.differs else ''}" for s in found
    )
    many = "1 base image was" if len(found) == 1 else f"{len(found)} base images were"
    text = f"{many} substituted: numbers are comparable within this run, not with runs elsewhere"
    return FairnessCheck(name="base images", status="warn", text=text, details=details)


def substitutions(record: RunRecord) -> tuple[BaseSubstitution, ...]:
    """Return the base images that stood in for others, each once."""
    found: dict[tuple[str, str], BaseSubstitution] = {}
    for result in _with_image(record):
        for stand_in in result.substitutions:
            found.setdefault((stand_in.asked, stand_in.used), stand_in)
    return tuple(found.values())


def _with_image(record: RunRecord) -> list[ImageFacts]:
    return [result.image for result in record.results() if result.image]


def _trust(record: RunRecord) -> FairnessCheck:
    trusts = [image.trust for image in _with_image(record)]
    certificates = max((trust.certificates for trust in trusts), default=0)
    names = sorted({name for trust in trusts for name in trust.index_settings})
    if not certificates and not names:
        return FairnessCheck(name="host settings", status="ok", text="nothing of the host's settings was used")
    parts = []
    if certificates:
        parts.append(f"certificates ({certificates} beyond the public ones)")
    if names:
        parts.append(f"package settings ({', '.join(names)})")
    text = f"the host's {' and '.join(parts)} reached image builds"
    return FairnessCheck(name="host settings", status="warn", text=text)


def candidate_facts(record: RunRecord) -> tuple[CandidateFacts, ...]:
    """Return what each candidate is."""
    served = served_models(record)
    return tuple(
        CandidateFacts(
            name=candidate.name,
            role=candidate.role,
            agent=candidate.agent,
            model=model_name(candidate),
            api=candidate.model.api if candidate.model else None,
            effort=candidate.model.effort if candidate.model else None,
            note=candidate.note,
            served_models=served.get(candidate.name, ()),
        )
        for candidate in record.plan.candidates
    )


def run_facts(record: RunRecord) -> RunFacts:
    """Return what was run, when and by what."""
    plan = record.plan
    results: list[AttemptResult] = list(record.results())
    contenders = {candidate.name for candidate in plan.candidates if candidate.role == "candidate"}
    planned = Counter((trial.task, trial.candidate) for trial in plan.trials if trial.candidate in contenders)
    trusts = [image.trust for image in _with_image(record)]
    roles = Counter(candidate.role for candidate in plan.candidates)
    return RunFacts(
        name=plan.name,
        created_at=plan.created_at,
        started_at=min((r.started_at for r in results), default=None),
        ended_at=max((r.ended_at for r in results), default=None),
        closed=record.closed.reason if record.closed else None,
        harness_version=plan.provenance.version,
        commit=plan.provenance.commit,
        dirty=plan.provenance.dirty,
        platform=plan.provenance.platform,
        hosts=tuple(sorted({line.host for line in record.opened})),
        tasks=len(plan.tasks),
        candidates=roles["candidate"],
        controls=roles["control"],
        trials=len(plan.trials),
        repeats=(min(planned.values(), default=0), max(planned.values(), default=0)),
        limits=limits_of(record),
        timeout_multiplier=plan.settings.timeout_multiplier,
        network=plan.settings.network,
        prices_version=plan.prices_version,
        substitutions=substitutions(record),
        certificates=max((trust.certificates for trust in trusts), default=0),
        index_settings=tuple(sorted({name for trust in trusts for name in trust.index_settings})),
        trust_skipped=tuple(sorted({text for trust in trusts for text in trust.skipped})),
    )
