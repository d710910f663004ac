"""What follows an ended attempt."""

from __future__ import annotations

import random

import pytest

from runner.domain.lifecycle import decide
from runner.domain.retry import Retry
from runner.domain.run import Ending, Run
from runner.domain.status import FINAL, PENDING, TRANSITIONS, Reason, Status
from runner.errors import InvariantError

NOW = 1_000_000_000
STEADY = Retry(attempts=2, first="1s", jitter=0)


def _run(**options) -> Run:
    absent = dict.fromkeys(
        (
            "queue",
            "reason",
            "why",
            "idempotency_key",
            "parent",
            "scheduled_by",
            "replay_of",
            "root",
            "next_attempt_at",
            "schedule",
            "retry",
            "timeout_s",
            "expires_at",
        )
    )
    values = {
        "app": "main",
        "id": "run",
        "task": "a",
        "status": Status.RUNNING,
        "priority": 0,
        "tags": (),
        "attempt_count": 1,
    }
    times = {"created_at": 0, "due_at": 0, "started_at": 0, "finished_at": None, "cancel_requested_at": None}
    return Run(**{**absent, **values, **times, "failures": 0, "losses": 0, **options})


def _decide(reason: Reason, policy: Retry = STEADY, **options):
    return decide(_run(**options), Ending(reason=reason, why="because", finished_at=NOW), policy, random.Random(1))


def test_a_final_status_is_followed_by_nothing() -> None:
    assert {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXPIRED} == FINAL
    assert {status for status in Status if status.is_final} == FINAL
    assert set(Status) == FINAL | PENDING | {Status.RUNNING}


def test_every_status_can_be_reached_and_can_end() -> None:
    assert _reached_from(Status.SCHEDULED) == set(Status)
    for status in Status:
        assert _reached_from(status) & FINAL


def _reached_from(status: Status) -> set[Status]:
    reached = {status}
    for _ in Status:
        reached |= {following for each in reached for following in TRANSITIONS[each]}
    return reached


def _before(status: Status) -> set[Status]:
    return {old for old, following in TRANSITIONS.items() if status in following}


def test_only_a_run_that_runs_succeeds_fails_sleeps_or_is_retried() -> None:
    for status in (Status.SUCCEEDED, Status.FAILED, Status.WAITING, Status.RETRYING):
        assert _before(status) == {Status.RUNNING}, status


def test_a_run_that_runs_has_waited_and_whatever_has_not_ended_can_be_cancelled() -> None:
    assert _before(Status.RUNNING) == {Status.QUEUED, Status.RETRYING, Status.WAITING}
    assert _before(Status.CANCELLED) == set(Status) - FINAL


def test_a_run_expires_only_before_it_was_started_and_none_goes_back_to_its_beginning() -> None:
    assert _before(Status.EXPIRED) == {Status.SCHEDULED, Status.QUEUED}
    assert _before(Status.SCHEDULED) == set()
    assert _before(Status.QUEUED) == {Status.SCHEDULED, Status.RUNNING}


def test_a_success_ends_the_run() -> None:
    assert _decide(Reason.SUCCESS).status is Status.SUCCEEDED


def test_a_response_of_error_is_final_unless_the_policy_lists_it() -> None:
    assert _decide(Reason.ERROR).status is Status.FAILED
    assert _decide(Reason.ERROR, Retry(on=("error",))).status is Status.RETRYING


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.OUT_OF_MEMORY, Reason.CRASH])
def test_an_attempt_without_a_response_is_tried_again_until_the_budget_is_used(reason) -> None:
    first = _decide(reason)
    second = _decide(reason, failures=first.failures)

    assert (first.status, first.failures, first.due_at) == (Status.RETRYING, 1, NOW + 1_000_000)
    assert (second.status, second.failures, second.due_at) == (Status.FAILED, 2, None)


def test_without_a_number_of_attempts_there_is_always_another() -> None:
    assert _decide(Reason.CRASH, Retry(attempts=None), failures=10**9).status is Status.RETRYING


def test_a_lost_attempt_uses_a_budget_of_its_own_and_is_due_at_once() -> None:
    verdict = _decide(Reason.LOST, failures=1)

    assert (verdict.status, verdict.failures, verdict.losses, verdict.due_at) == (Status.RETRYING, 1, 1, NOW)
    assert _decide(Reason.LOST, losses=19).status is Status.RETRYING
    assert _decide(Reason.LOST, losses=20).status is Status.FAILED


def test_a_drained_run_goes_back_to_its_queue_and_uses_no_budget() -> None:
    verdict = _decide(Reason.DRAINED, failures=1, losses=2)

    assert (verdict.status, verdict.failures, verdict.losses, verdict.due_at) == (Status.QUEUED, 1, 2, NOW)


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.DRAINED, Reason.CRASH, Reason.TIMEOUT, Reason.LOST])
def test_a_run_whose_cancellation_was_asked_for_gets_no_next_attempt(reason) -> None:
    assert _decide(reason, cancel_requested_at=NOW).status is Status.CANCELLED


def test_a_response_that_came_before_the_cancellation_took_hold_counts() -> None:
    assert _decide(Reason.SUCCESS, cancel_requested_at=NOW).status is Status.SUCCEEDED
    assert _decide(Reason.ERROR, cancel_requested_at=NOW).status is Status.FAILED


def test_a_suspended_attempt_is_no_failure() -> None:
    with pytest.raises(InvariantError, match="suspended"):
        _decide(Reason.SUSPENDED)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.SUSPENDED])
def test_every_verdict_is_a_transition_that_is_allowed(reason) -> None:
    for cancel in (None, NOW):
        assert _decide(reason, cancel_requested_at=cancel).status in TRANSITIONS[Status.RUNNING]
