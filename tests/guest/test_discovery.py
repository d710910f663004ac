"""Which tasks a module has, and what its manifest says of them."""

from __future__ import annotations


def test_run_is_named_by_its_file_and_marked_functions_by_their_own_name_too(guest):
    ended = guest.discover(
        '''
        from runner import Retry, task
        from datetime import timedelta

        def helper(): ...

        def run(parameters, context):
            """Count.

            Not this.
            """

        @task(queue="billing", timeout=timedelta(seconds=90), retry=Retry(attempts=5), network=True, tags=("a",))
        async def invoice(parameters): ...

        @task(name="mail.daily", description="Sends mail.", retry={"attempts": None}, every="5m")
        def send(): ...
        '''
    )

    run, invoice, send = ended.answer["tasks"]
    assert run == {
        "name": "job",
        "module": "job",
        "function": "run",
        "arguments": 2,
        "schema": None,
        "description": "Count.",
        "options": {},
    }
    assert (invoice["name"], invoice["function"], invoice["arguments"]) == ("job.invoice", "invoice", 1)
    assert invoice["options"]["timeout"] == "90s"
    assert invoice["options"]["retry"]["attempts"] == 5
    assert (send["name"], send["description"]) == ("mail.daily", "Sends mail.")
    assert send["options"] == {"description": "Sends mail.", "retry": {"attempts": None}, "every": "5m"}


def test_a_marked_run_keeps_the_name_of_its_file(guest):
    ended = guest.discover("from runner import task\n@task(queue='q')\ndef run(): ...")

    assert [task["name"] for task in ended.answer["tasks"]] == ["job"]


def test_tasks_of_folders_have_dotted_names(guest):
    guest.write("def run(): ...", "reports/daily.py")

    assert [task["name"] for task in guest.discover(module="reports.daily").answer["tasks"]] == ["reports.daily"]


def test_what_a_module_imports_is_not_its_own(guest):
    guest.write("from runner import task\n@task\ndef shared(): ...\ndef run(): ...", "_shared.py")
    ended = guest.discover("from tasks._shared import run, shared\nfrom runner import task\nother = shared")

    assert ended.answer == {"type": "manifest", "tasks": []}


def test_a_function_under_two_names_is_one_task(guest):
    ended = guest.discover("from runner import task\n@task\ndef first(): ...\nsecond = first")

    assert [task["name"] for task in ended.answer["tasks"]] == ["job.first"]


def test_a_task_under_another_decorator_is_found_and_counted(guest):
    ended = guest.discover(
        """
        import functools
        from runner import task
        def timed(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)
            return wrapper
        @task(queue="q")
        @timed
        def inside(parameters, context): ...
        @timed
        @task
        async def outside(parameters): ...
        """
    )

    found = {task["name"]: task["arguments"] for task in ended.answer["tasks"]}
    assert found == {"job.inside": 2, "job.outside": 1}


def test_two_tasks_of_one_name_are_refused(guest):
    error = guest.discover(
        """
        from runner import task
        @task(name="same")
        def a(): ...
        @task(name="same")
        def b(): ...
        """
    ).error

    assert error["message"] == "a and b are both named same; rename one"


def test_a_wrong_option_shows_where_it_was_written(guest):
    error = guest.discover(
        """
        from runner import task
        @task(quue="q")
        def a(): ...
        """
    ).error

    assert error["message"].startswith("quue is not a known option of @task; did you mean queue?")
    assert '@task(quue="q")' in error["traceback"]


def test_an_installed_package_named_tasks_does_not_hide_the_folder(guest):
    (guest.folder / "tasks.py").write_text("raise RuntimeError('the wrong one')")

    assert guest.run("def run():\n    return 1").result == 1


def test_a_file_named_as_a_library_hides_nothing(guest):
    guest.write("def run(): ...", "json.py")

    assert guest.run("import json\ndef run():\n    return json.loads('5')").result == 5
