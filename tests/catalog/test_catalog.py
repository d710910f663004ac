"""What is in the tasks folder, and what of it is in use."""

from __future__ import annotations

import pytest

from runner.errors import ShapeError, TasksFolderError, UnknownTaskError
from runner.store.records import TaskKey
from sandbox import Limits, Mount, SetupError

PLAIN = "def run(parameters): pass\n"
BILLING = '''
    from dataclasses import dataclass
    from runner import Context, Retry, task

    @dataclass
    class Invoice:
        customer: int
        amount: float = 0.0

    @task(queue="billing", timeout="30s", memory="256MB", retry=Retry(attempts=5))
    async def invoice(parameters: Invoice, context: Context):
        """Write an invoice."""

    @task(name="mail.reminders", cron="0 7 * * mon-fri", timezone="Europe/Oslo", tags=["mail"], network=True)
    def remind_all(): ...

    def helper(): ...
'''


def names(catalog):
    return sorted(key.task for key in catalog.entries)


def entry(catalog, name):
    return catalog.entries[TaskKey("main", name)]


# --- what there is ----------------------------------------------------------------------------------------------


async def test_tasks_are_found_with_what_they_declare(write, new_catalog):
    write({"billing.py": BILLING, "reports/daily.py": PLAIN})
    catalog = new_catalog({"defaults": {"timeout": "1m"}, "tasks": {"billing.invoice": {"memory": "64MB"}}})
    assert await catalog.load()
    invoice, reminders = entry(catalog, "billing.invoice"), entry(catalog, "mail.reminders")

    assert names(catalog) == ["billing.invoice", "mail.reminders", "reports.daily"]
    assert (invoice.module, invoice.function, invoice.file) == ("billing", "invoice", "tasks/billing.py")
    assert (invoice.arguments, invoice.description) == (2, "Write an invoice.")
    assert (invoice.options.queue, invoice.options.timeout_s, invoice.options.memory_bytes) == ("billing", 30, 64 << 20)
    assert invoice.options.retry.attempts == 5
    assert (reminders.arguments, reminders.schema, reminders.options.timeout_s) == (0, None, 60)
    assert (reminders.options.cron, reminders.options.tags) == ("0 7 * * mon-fri", ("mail",))
    assert entry(catalog, "reports.daily").function == "run"
    assert not catalog.problems


async def test_names_with_an_underscore_or_a_dot_are_no_tasks(write, new_catalog):
    hidden = {"_helper.py": PLAIN, "_lib/x.py": PLAIN, ".draft.py": PLAIN, "a/__init__.py": PLAIN, "notes.txt": "x"}
    write(hidden | {"a/b.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["a.b"]
    assert not catalog.problems


@pytest.mark.parametrize("file", ["my-task.py", "class.py", "my folder/x.py", "1st.py", "go.od.py"])
async def test_a_path_that_cannot_be_imported_is_a_problem_of_that_file(write, new_catalog, file):
    write({file: PLAIN, "good.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["good"]
    [problem] = catalog.problems.values()
    assert problem.file == f"tasks/{file}"
    assert "cannot be imported" in problem.error.message


async def test_a_task_sees_its_snapshot_and_the_mounts_of_the_config(write, new_catalog, project):
    (project / "data").mkdir()
    write({"reports/daily.py": PLAIN, "mail.py": PLAIN})
    mount = {"source": "data", "target": "/data", "writable": True, "tasks": ["reports.*"]}
    options = {"memory": "64MB", "processes": 9, "cpus": 0.5, "disk": "2MB", "network": True}
    catalog = new_catalog({"mounts": [mount], "tasks": {"reports.daily": options}})
    await catalog.load()
    daily = entry(catalog, "reports.daily")
    spec = daily.spec

    code = Mount(source=str(project / ".isolane" / "code" / daily.code), target="/code")
    assert spec.mounts == (code, Mount(source=str(project / "data"), target="/data", writable=True, owned=True))
    assert spec.limits == Limits(memory_bytes=64 << 20, processes=9, cpus=0.5, disk_bytes=2 << 20)
    assert (spec.entry, spec.path, spec.network, spec.name) == (
        "runner.guest.main:main",
        ("/code",),
        True,
        "reports-daily",
    )
    assert spec.environment.keys() == {"PATH", "HOME", "TMPDIR", "LANG"}
    assert entry(catalog, "mail").spec.mounts == (code,)
    assert not entry(catalog, "mail").spec.network


async def test_parameters_are_checked_against_the_annotation(write, new_catalog):
    write({"billing.py": BILLING, "plain.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    invoice = entry(catalog, "billing.invoice")

    catalog.check_parameters(invoice, {"customer": 7})
    catalog.check_parameters(entry(catalog, "plain"), {"any": ["thing"]})
    with pytest.raises(ShapeError, match=r'parameters\["customer"\]: "7" is not of type "integer"'):
        catalog.check_parameters(invoice, {"customer": "7"})


async def test_an_unknown_task_is_told_the_nearest_names(write, new_catalog):
    write({"billing.py": BILLING, "broken.py": "1 / 0"})
    catalog = new_catalog()
    await catalog.load()

    assert catalog.find("main", "billing.invoice").name == "billing.invoice"
    with pytest.raises(UnknownTaskError, match=r'no task "biling.invoice"; did you mean billing.invoice\?'):
        catalog.find("main", "biling.invoice")
    with pytest.raises(UnknownTaskError, match="isolane tasks list"):
        catalog.find("main", "\ud800" * 100_000)
    with pytest.raises(
        UnknownTaskError, match=r'no task "broken": tasks/broken.py does not work \(ZeroDivisionError\)'
    ):
        catalog.find("main", "broken")
    with pytest.raises(UnknownTaskError, match=r'no task "billing\.invoice"'):
        catalog.find("another", "billing.invoice")


async def test_no_folder_is_an_error_at_the_start(new_catalog, project):
    (project / "tasks").rmdir()

    with pytest.raises(TasksFolderError, match="isolane init"):
        await new_catalog().load()


async def test_an_empty_folder_is_fine(new_catalog):
    catalog = new_catalog()
    await catalog.load()

    assert not catalog.entries
    assert not catalog.problems


# --- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("raise ValueError('at import')", "ValueError", "at import"),
        ("def run(:", "SyntaxError", "invalid syntax"),
        ("import nothing_of_that_name", "ModuleNotFoundError", "nothing_of_that_name"),
        ("import os; os._exit(0)", "ImportError", "its process exited with code 0 while it was imported"),
        ("import os; os.kill(os.getpid(), 11)", "ImportError", "its process was killed by SIGSEGV"),
        ("print('the end', flush=True); import os; os._exit(3)", "ImportError", "exited with code 3"),
        ("from runner import task\n@task(timout='5s')\ndef f(): ...", "InvalidOptionError", "timout"),
        ("from runner import task\n@task(cron='0 0 31 2 *')\ndef f(): ...", "InvalidOptionError", "can never fire"),
        ("from runner import task\n@task(timezone='Mars')\ndef f(): ...", "InvalidOptionError", "time zone"),
        ("def run(a, b, c): ...", "InvalidError", "c"),
    ],
)
async def test_a_module_that_does_not_work_shows_why_and_harms_nothing(write, new_catalog, source, kind, says):
    write({"broken.py": source, "good.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()
    problem = catalog.problems["broken"]

    assert names(catalog) == ["good"]
    assert (problem.module, problem.file, problem.kept) == ("broken", "tasks/broken.py", False)
    assert problem.error.type == kind
    assert says in problem.error.message


async def test_the_traceback_and_the_last_words_are_shown(write, new_catalog):
    write({"raises.py": "x = {}\nx['key']\n", "exits.py": "import os; print('the end', flush=True); os._exit(3)"})
    catalog = new_catalog()
    await catalog.load()

    assert 'tasks/raises.py", line 2' in catalog.problems["raises"].error.traceback
    assert "the end" in catalog.problems["exits"].error.traceback


async def test_an_import_without_end_is_cut(write, new_catalog):
    flood = "import sys\nwhile True: print('x' * 1000)\n"
    write({"hangs.py": "while True: pass", "floods.py": flood, "good.py": PLAIN})
    catalog = new_catalog(import_timeout_s=2.0)
    await catalog.load()

    assert names(catalog) == ["good"]
    for module in ("hangs", "floods"):
        assert catalog.problems[module].error.type == "TimeoutError"
        assert "longer than 2 s" in catalog.problems[module].error.message


async def test_an_import_that_needs_too_much_memory_is_cut(write, new_catalog):
    write({"eats.py": "kept = []\nwhile True: kept.append(bytearray(8 << 20))\n", "good.py": PLAIN})
    catalog = new_catalog({"defaults": {"memory": "128MB"}})
    await catalog.load()

    assert names(catalog) == ["good"]
    assert catalog.problems["eats"].error.type == "MemoryError"
    assert "limit of 128 MB" in catalog.problems["eats"].error.message


HOSTILE = """
import json, os, socket, struct, sys
for descriptor in range(3, 64):
    try:
        channel = socket.socket(fileno=descriptor)
        channel.getpeername()
        break
    except OSError:
        continue
def send(text):
    data = text if isinstance(text, bytes) else json.dumps(text).encode()
    channel.sendall(struct.pack(">I", len(data)) + data)
def task(**changes):
    return {{"name": "hostile", "module": "hostile", "function": "run", "arguments": 1,
            "schema": None, "description": None, "options": {{}}, **changes}}
def manifest(*tasks):
    send({{"type": "manifest", "tasks": list(tasks)}})
{attack}
import time
time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        ("send(b'not json')", "no answer"),
        ("channel.sendall(b'\\xff' * 100)", "no answer"),
        ("send({'type': 'response', 'result': 1})", "something else"),
        ("send({'type': 'call', 'id': 1, 'method': 'schedule', 'arguments': {}})", "something else"),
        ("send({'type': 'manifest', 'tasks': 3})", "list of at most"),
        ("manifest(*[task(name=f't{i}') for i in range(501)])", "list of at most 500"),
        ("manifest(task(description='x' * 2000000))", "at most 1 MB"),
        ("manifest(3)", "must be declared with"),
        ("manifest(task(more=1))", "more is not a known"),
        ("manifest(task(name='../../etc'))", "words of letters"),
        ("manifest(task(name=['x']))", "task"),
        ("manifest(task(name='x' * 300))", "200"),
        ("manifest(task(), task())", "two tasks of the module are named hostile"),
        ("manifest(task(module='good'))", "its module must be hostile"),
        ("manifest(task(function='os.system'))", "its function must be a name"),
        ("manifest(task(arguments=True))", "arguments must be a whole number"),
        ("manifest(task(options={'memory': '1EB'}))", "memory must be a size"),
        ("manifest(task(options={'mounts': []}))", "not a known task option"),
        ("manifest(task(options=[]))", "its options must be an object"),
        ("manifest(task(schema={'$ref': 'http://example.com'}))", "its own parts only"),
        ("manifest(task(schema={'pattern': '(?=a)'}))", "regex"),
        ("send(b'{\"type\":\"manifest\",\"tasks\":' + b'[' * 50000 + b']' * 50000 + b'}')", ""),
    ],
)
async def test_whatever_a_module_declares_it_harms_only_itself(write, new_catalog, attack, says):
    write({"hostile.py": HOSTILE.format(attack=attack), "good.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["good"]
    assert says in catalog.problems["hostile"].error.message
    assert catalog.problems["hostile"].error.type != "TimeoutError"


async def test_an_honest_declaration_by_hand_is_taken(write, new_catalog):
    """So that the attacks above fail for what they do, not for how they do it."""
    write({"hostile.py": HOSTILE.format(attack="manifest(task())")})
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["hostile"]


async def test_two_tasks_of_one_name_are_a_problem_that_names_both_files(write, new_catalog):
    named = "from runner import task\n@task(name='same')\ndef f(): ...\n"
    write({"one.py": named, "two.py": named, "other.py": PLAIN})
    catalog = new_catalog()
    await catalog.load()

    assert names(catalog) == ["other"]
    for module in ("one", "two"):
        assert "named same: in tasks/one.py and in tasks/two.py" in catalog.problems[module].error.message


async def test_a_config_section_for_a_task_that_is_not_there_is_told(write, new_catalog):
    write({"billing.py": BILLING, "broken.py": "1 / 0"})
    tasks = {"billing.invoise": {"timeout": "1s"}, "broken": {"timeout": "1s"}, "broken.part": {"timeout": "1s"}}
    catalog = new_catalog({"tasks": tasks})
    await catalog.load()

    assert catalog.problems.keys() == {"broken", 'tasks."billing.invoise"'}
    message = catalog.problems['tasks."billing.invoise"'].error.message
    assert "did you mean billing.invoice?" in message


async def test_two_mounts_at_one_place_are_a_problem_of_the_tasks_that_see_both(write, new_catalog, project):
    (project / "data").mkdir()
    mounts = [{"source": "data", "target": "/data", "tasks": [pattern]} for pattern in ("a*", "*e")]
    write({"apple.py": PLAIN, "avocado.py": PLAIN})
    catalog = new_catalog({"mounts": mounts})
    await catalog.load()

    assert names(catalog) == ["avocado"]
    assert "at /data" in catalog.problems["apple"].error.message


async def test_a_sandbox_that_fails_is_no_fault_of_the_module_and_is_asked_again(write, new_catalog, sandbox):
    write({"good.py": PLAIN})
    catalog = new_catalog()

    class Failing:
        level = sandbox.level

        async def launch(self, spec):
            raise SetupError("namespaces", "no room")

    catalog._launcher = Failing()
    await catalog.load()
    assert catalog.problems["good"].error.type == "SandboxError"

    catalog._launcher = sandbox
    assert await catalog.load()
    assert names(catalog) == ["good"]
    assert not catalog.problems
