"""What a task raises arrives as text, whatever the exception does to prevent it."""

from __future__ import annotations

import json

import pytest


def test_an_error_has_its_type_its_message_and_the_tasks_own_traceback(guest):
    error = guest.run(
        """
        def inner():
            raise ValueError("no such customer")
        def run():
            inner()
        """
    ).error

    assert (error["type"], error["message"]) == ("ValueError", "no such customer")
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert 'raise ValueError("no such customer")' in error["traceback"]
    assert error["traceback"].count("File ") == 2, "frames of isolane are left out"


def test_frames_of_isolane_are_left_out_below_the_task_too(guest):
    error = guest.run(
        """
        from runner import scheduleTask
        def run():
            scheduleTask("other", {"a": {1}})
        """
    ).error

    assert error["type"] == "InvalidValueError"
    assert 'parameters["a"] is a set; pass it as a list' in error["message"]
    assert error["traceback"].count("File ") == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError", "(its __str__ raised RuntimeError)"),
        ("__import__('sys').exit(3)", "(its __str__ raised SystemExit)"),
        ("return str(self)", "(its __str__ raised RecursionError)"),
        ("return 5", "(its __str__ raised TypeError)"),
        ("return 'half \\ud800'", "half \\ud800"),
        ("return 'x' * 100_000_000", "x\n... cut ...\nx"),
    ],
)
def test_a_hostile_str_cannot_prevent_the_report(guest, body, message):
    ended = guest.run(
        f"""
        class Hostile(Exception):
            def __str__(self):
                {body}
            __repr__ = __str__
        def run():
            raise Hostile
        """
    )

    assert ended.error["type"] == "Hostile"
    assert message in ended.error["message"]
    assert len(ended.error["message"]) <= 8 << 10
    assert len(ended.error["traceback"]) <= 64 << 10


def test_a_class_that_lies_about_itself_cannot_either(guest):
    error = guest.run(
        """
        class Meta(type):
            def __getattribute__(self, name):
                raise SystemExit(0)
        class Text(str):
            def encode(self, *_, **__):
                raise SystemExit(0)
        class Liar(Exception, metaclass=Meta):
            def __str__(self):
                return Text("lies")
        def run():
            raise Liar
        """
    ).error

    assert (error["type"], error["message"]) == ("Liar", "lies")


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "GeneratorExit", "RecursionError", "BaseException"])
def test_everything_but_an_exit_is_an_error(guest, kind):
    assert guest.run(f"def run():\n    raise {kind}('so')").error["type"] == kind


def test_endless_recursion_is_an_error(guest):
    error = guest.run("def run():\n    run()").error

    assert error["type"] == "RecursionError"
    assert "Previous line repeated" in error["traceback"]


def test_a_cancelled_async_task_is_an_error(guest):
    error = guest.run("import asyncio\nasync def run():\n    raise asyncio.CancelledError").error

    assert error["type"] == "CancelledError"


def test_every_lack_of_memory_has_one_name(guest):
    error = guest.run("class Array(MemoryError): ...\ndef run():\n    raise Array('8 GB')").error

    assert (error["type"], error["message"]) == ("MemoryError", "8 GB")


def test_a_lack_of_memory_is_still_told_under_a_limit(guest):
    error = guest.run(
        """
        import resource
        def run():
            resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
            kept = []
            while True:
                kept.append("x" * 1_000_000)
        """
    ).error

    assert error["type"] == "MemoryError"


def test_a_traceback_names_files_as_the_project_has_them(guest):
    guest.write("def work():\n    raise ValueError('deep')", "parts/_helper.py")

    error = guest.run(
        """
        from tasks.parts._helper import work
        def run():
            try:
                work()
            except ValueError as first:
                try:
                    raise KeyError("second") from first
                except KeyError:
                    raise ExceptionGroup("both", [compiled()])
        def compiled():
            try:
                compile("def f(:", __file__, "exec")
            except SyntaxError as error:
                return error
        """
    ).error

    assert str(guest.folder) not in error["traceback"]
    for line in (
        'File "tasks/job.py", line 5, in run',
        'File "tasks/parts/_helper.py", line 2, in work',
        "raise ValueError('deep')",
        'File "tasks/job.py", line 1\n',
        'File "tasks/job.py", line 13, in compiled',
    ):
        assert line in error["traceback"]


def test_a_syntax_error_in_a_file_names_it_as_the_project_has_it(guest):
    assert 'File "tasks/job.py", line 1\n' in guest.discover("def run(:").error["traceback"]


def test_a_file_of_a_package_is_named_from_the_folder_that_is_shown(guest):
    shown = guest.folder / "packages" / "0" / "shoplib"
    shown.mkdir(parents=True)
    (shown / "prices.py").write_text("def price():\n    return 1 / 0")

    error = guest.run(
        f"""
        import json, sys
        sys.path.append({str(shown.parent)!r})
        from shoplib.prices import price
        def run():
            try:
                json.loads("")
            except ValueError:
                price()
        """
    ).error

    assert 'File "shoplib/prices.py", line 2, in price' in error["traceback"]
    assert f'File "{json.__file__}"' in error["traceback"], "what is installed keeps its place"


def test_groups_and_causes_are_in_the_traceback(guest):
    error = guest.run(
        """
        def run():
            try:
                raise KeyError("first")
            except KeyError as first:
                raise ExceptionGroup("both", [ValueError("a"), OSError("b")]) from first
        """
    ).error

    assert error["type"] == "ExceptionGroup"
    for text in ("KeyError: 'first'", "direct cause", "ValueError: a", "OSError: b"):
        assert text in error["traceback"]


def test_a_module_that_raises_at_import_is_an_error(guest):
    source = "import json\nraise ImportError('no driver')\ndef run(): ..."

    for ended in (guest.run(source), guest.discover()):
        assert (ended.error["type"], ended.error["message"]) == ("ImportError", "no driver")
        assert ended.error["traceback"].count("File ") == 1
        assert "job.py" in ended.error["traceback"]


def test_a_module_that_exits_at_import_is_an_error(guest):
    for ended in (guest.run("import sys\nsys.exit(3)"), guest.discover()):
        assert ended.error["type"] == "SystemExit"
        assert "sys.exit(3)" in ended.error["message"]


def test_a_syntax_error_shows_its_line(guest):
    error = guest.discover("def run(:").error

    assert error["type"] == "SyntaxError"
    assert "def run(:" in error["traceback"]


def test_a_function_that_is_gone_is_named(guest):
    assert "no function other" in guest.run("def run(): ...", function="other").error["message"]


@pytest.mark.parametrize(
    "body",
    [
        "raise OSError(errno.ENETUNREACH, 'Network is unreachable')",
        "raise OSError(errno.EACCES, 'Permission denied')",
        "raise socket.gaierror(-3, 'Temporary failure in name resolution')",
        "raise OSError('Multiple exceptions: [Errno 13] Connect call failed, [Errno 101] Connect call failed')",
        "raise ExceptionGroup('both', [ValueError(), OSError(errno.EHOSTUNREACH, 'No route to host')])",
        "raise RuntimeError('no answer') from unreachable()",
        "hide(unreachable())",
    ],
)
def test_what_a_missing_network_looks_like_gets_the_option_that_grants_one(guest, body):
    error = guest.run(
        f"""
        import errno, socket
        def unreachable():
            return OSError(errno.ENETUNREACH, "Network is unreachable")
        def hide(error):
            try:
                try:
                    raise error
                except OSError:
                    raise ValueError("a client's own")
            except ValueError as failure:
                raise KeyError("another's own") from failure
        def run():
            {body}
        """
    ).error

    assert error["message"].endswith(
        ' (this task has no network; its option network grants it: ["example.com:443"], or True for the whole)'
    )


@pytest.mark.parametrize(
    "body",
    [
        "open('/proc/1/mem')",
        "raise OSError('Multiple exceptions of my own')",
        "raise ConnectionResetError(104, 'reset')",
        "raise Endless()",
    ],
)
def test_other_errors_say_nothing_of_the_network(guest, body):
    error = guest.run(
        f"""
        class Endless(Exception):
            @property
            def __cause__(self):
                return Endless()
        def run():
            {body}
        """
    ).error

    assert "network" not in error["message"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ("socket.create_connection(('203.0.113.7', 5432))", "203.0.113.7:5432"),
        ("socket.create_connection(('db.example', 5432))", "db.example:5432"),
        ("socket.create_connection(('2001:db8::1', 443))", "[2001:db8::1]:443"),
        ("urllib.request.urlopen('http://203.0.113.7:8080/x')", "203.0.113.7:8080"),
        ("http.client.HTTPConnection('api.example').request('GET', '/')", "api.example:80"),
        ("smtplib.SMTP('mail.example', 587)", "mail.example:587"),
        ("asyncio.run(asyncio.open_connection('203.0.113.7', 6379))", "203.0.113.7:6379"),
    ],
)
def test_the_host_and_port_that_were_tried_are_named(guest, body, place):
    error = guest.run(
        f"""
        import asyncio, errno, http.client, smtplib, socket, urllib.request

        class Cut(socket.socket):
            def connect(self, address):
                raise OSError(errno.ENETUNREACH, "Network is unreachable")

        def resolve(host, port, *rest, **more):
            if host.endswith(".example"):
                raise socket.gaierror(-3, "Temporary failure in name resolution")
            return real(host, port, *rest, **more)

        async def cut(self, sock, address):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

        def run():
            global real
            real = socket._socket.getaddrinfo
            socket._socket.getaddrinfo = resolve
            socket.socket = Cut
            asyncio.selector_events.BaseSelectorEventLoop.sock_connect = cut
            {body}
        """
    ).error

    assert error["message"].endswith(
        f' (this task has no network; its option network grants it: ["{place}"], or True for the whole)'
    )


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            "import shoplib",
            "beside the project, or that pip installed with -e, is shown by [code]",
        ),
        ("import shoplib.prices", "a folder that has shoplib beside the project"),
        ("open('/srv/orders.csv')", "a task sees of this machine's files what [[mounts]]"),
        ("os.listdir('/srv/orders')", "a task sees of this machine's files what [[mounts]]"),
        ("wrapped()", "a task sees of this machine's files what [[mounts]]"),
        ("open('orders.csv')", None),
        ("open('/tmp/orders.csv')", None),
        ("open('/code/tasks/orders.csv')", None),
        ("import tasks.nothing", None),
        ("raise FileNotFoundError('mine')", None),
        ("raise ImportError('mine')", None),
    ],
)
def test_what_is_not_there_gets_the_section_that_shows_it(guest, body, hint):
    error = guest.run(
        f"""
        import os
        def wrapped():
            try:
                open("/srv/orders.csv")
            except OSError as error:
                raise RuntimeError("no orders") from error
        def run():
            {body}
        """
    ).error

    assert (hint in error["message"]) if hint else "config/isolane.toml" not in error["message"]


def test_a_task_that_handles_what_is_not_there_sees_pythons_own_words(guest):
    ended = guest.run(
        """
        def run():
            said = []
            for attempt in (lambda: __import__("shoplib"), lambda: open("/srv/x")):
                try:
                    attempt()
                except Exception as error:
                    said.append(str(error))
            return said
        """
    )

    assert ended.result == ["No module named 'shoplib'", "[Errno 2] No such file or directory: '/srv/x'"]


def test_a_module_that_is_not_there_at_import_gets_the_section_that_shows_it(guest):
    error = guest.discover("import shoplib\ndef run(): ...").error

    assert "[code] packages in config/isolane.toml" in error["message"]
