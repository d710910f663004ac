"""Signals that a process handles, and time."""

from __future__ import annotations

from sandbox.kernel.calls.call import ALLOWED, DENIED, Call

TIMING = (
    Call("rt_sigaction", 13, 134, ALLOWED, ALLOWED, "its own"),
    Call("rt_sigprocmask", 14, 135, ALLOWED, ALLOWED, "its own"),
    Call("rt_sigpending", 127, 136, ALLOWED, ALLOWED, "its own"),
    Call("rt_sigreturn", 15, 139, ALLOWED, ALLOWED, "its own"),
    Call("rt_sigsuspend", 130, 133, ALLOWED, ALLOWED, "its own"),
    Call("rt_sigtimedwait", 128, 137, ALLOWED, ALLOWED, "its own"),
    Call("sigaltstack", 131, 132, ALLOWED, ALLOWED, "its own"),
    Call("pause", 34, None, ALLOWED, ALLOWED, "its own"),
    Call("alarm", 37, None, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("setitimer", 38, 103, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("getitimer", 36, 102, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("timer_create", 222, 107, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("timer_delete", 226, 111, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("timer_getoverrun", 225, 109, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("timer_gettime", 224, 108, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("timer_settime", 223, 110, ALLOWED, ALLOWED, "its own, to its own threads"),
    Call("nanosleep", 35, 101, ALLOWED, ALLOWED, "reads, waits"),
    Call("clock_nanosleep", 230, 115, ALLOWED, ALLOWED, "reads, waits"),
    Call("time", 201, None, ALLOWED, ALLOWED, "reads, waits"),
    Call("gettimeofday", 96, 169, ALLOWED, ALLOWED, "reads, waits"),
    Call("clock_gettime", 228, 113, ALLOWED, ALLOWED, "reads, waits"),
    Call("clock_getres", 229, 114, ALLOWED, ALLOWED, "reads, waits"),
    Call("settimeofday", 164, 170, DENIED, DENIED, "the machine's clock"),
    Call("clock_settime", 227, 112, DENIED, DENIED, "the machine's clock"),
    Call("adjtimex", 159, 171, DENIED, DENIED, "the machine's clock"),
    Call("clock_adjtime", 305, 266, DENIED, DENIED, "the machine's clock"),
)
