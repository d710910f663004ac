from __future__ import annotations

from runner.domain.run import TaskError
from runner.domain.status import Reason
from runner.engine.attempts.verdict import Decision, Response, judge
from sandbox import Outcome

MB = 1 << 20
TIMEOUT = Decision(reason=Reason.TIMEOUT, why="passed its timeout of 3s")


def outcome(
    *, exit_code: int | None = None, signal: int | None = None, memory_kills: int = 0, lease_over: bool = False
) -> Outcome:
    return Outcome(
        exit_code=exit_code, signal=signal, memory_kills=memory_kills, peak_memory_bytes=None, cpu_time_s=None,
        wall_time_s=1.0, walls="", lease_over=lease_over,
    )  # fmt: skip


def error(kind: str, message: str = "") -> Response:
    return Response(error=TaskError(type=kind, message=message, traceback=""))


def test_a_response_goes_before_everything() -> None:
    verdict = judge(Response(result="1"), TIMEOUT, outcome(signal=9, memory_kills=1), "fault", MB)

    assert verdict == (Reason.SUCCESS, "the task returned")


def test_a_decision_goes_before_memory_and_exit() -> None:
    assert judge(None, TIMEOUT, outcome(signal=9, memory_kills=1), None, MB) == (Reason.TIMEOUT, TIMEOUT.why)


def test_the_end_of_a_lease_loses_the_attempt_and_is_no_crash_of_the_task() -> None:
    reason, why = judge(None, None, outcome(lease_over=True, memory_kills=1), "closed its channel", MB)

    assert reason is Reason.LOST
    assert "could not renew its lease" in why
    assert judge(None, TIMEOUT, outcome(lease_over=True), None, MB)[0] is Reason.TIMEOUT
    assert judge(Response(result="1"), None, outcome(lease_over=True), None, MB)[0] is Reason.SUCCESS


def test_a_memory_kill_goes_before_the_exit() -> None:
    reason, why = judge(None, None, outcome(signal=9, memory_kills=1), "closed its channel", 64 * MB)

    assert reason is Reason.OUT_OF_MEMORY
    assert "64 MB" in why


def test_a_memory_error_is_out_of_memory() -> None:
    assert judge(error("MemoryError"), None, outcome(exit_code=0), None, MB)[0] is Reason.OUT_OF_MEMORY


def test_an_error_is_told_by_its_first_line() -> None:
    reason, why = judge(error("ValueError", "no such\nthing"), None, outcome(exit_code=0), None, MB)

    assert (reason, why) == (Reason.ERROR, "the task raised ValueError: no such")


def test_a_signal_without_evidence_is_a_crash_and_never_guessed_memory() -> None:
    assert judge(None, None, outcome(signal=9), None, MB) == (
        Reason.CRASH,
        "its process was killed by SIGKILL without a response",
    )


def test_an_exit_is_a_crash_whatever_its_code() -> None:
    assert judge(None, None, outcome(exit_code=0), None, MB) == (
        Reason.CRASH,
        "its process exited with code 0 without a response",
    )


def test_a_fault_on_the_channel_is_a_crash() -> None:
    assert judge(None, None, outcome(signal=9), "closed its channel", MB)[0] is Reason.CRASH


def test_a_reported_error_of_the_wrong_shape_is_none() -> None:
    assert TaskError.read({"type": 1, "message": "", "traceback": ""}) is None
    assert TaskError.read([]) is None


def test_what_is_cleaned_of_a_reported_error_is_cleaned_before_it_is_cut() -> None:
    read = TaskError.read({"type": "", "message": "m" * 8190 + "secret", "traceback": ""}, lambda text: text[:-6] + "*")

    assert read is not None
    assert read.message == "m" * 8190 + "*"


def test_a_reported_error_is_bounded() -> None:
    read = TaskError.read({"type": "T" * 10_000, "message": "m" * 100_000, "traceback": "t" * 1_000_000})

    assert read is not None
    assert (len(read.type), len(read.message), len(read.traceback)) == (200, 8192, 16384)
