"""`@task`: what it keeps, and what it refuses where it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runner import InvalidOptionError, Retry, task


def test_the_function_stays_what_it_was():
    @task(queue="q")
    def double(number):
        return number * 2

    @task
    def plain():
        return 1

    assert double(4) == 8
    assert double.__isolane__ == {"queue": "q"}
    assert (plain(), plain.__isolane__) == (1, {})


def test_options_are_kept_as_json():
    @task(
        name="billing.invoice",
        timeout=timedelta(minutes=1, microseconds=5),
        memory="256MB",
        cpus=0.5,
        retry=Retry(attempts=None, on=("error",)),
        every=timedelta(hours=1),
        overlap="skip",
        tags=("a", "b"),
        queue=None,
        network=False,
        secrets=("SMTP_PASSWORD",),
    )
    def run(): ...

    assert run.__isolane__ == {
        "name": "billing.invoice",
        "timeout": "60000.005ms",
        "memory": "256MB",
        "cpus": 0.5,
        "retry": Retry(attempts=None, on=("error",)).document(),
        "every": "1h",
        "overlap": "skip",
        "tags": ["a", "b"],
        "network": False,
        "secrets": ["SMTP_PASSWORD"],
    }


def test_granted_hosts_are_kept_as_a_list():
    @task(network=("SMTP.example.com:587", "10.0.0.5:25"))
    def run(): ...

    assert run.__isolane__ == {"network": ["smtp.example.com:587", "10.0.0.5:25"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quue": "q"}, r"quue is not a known option of @task; did you mean queue\?"),
        ({"secrets": ["a"]}, r"secrets\[0\] must be named in capital letters"),
        ({"secrets": "SMTP_PASSWORD"}, 'secrets must be a list of text: got "SMTP_PASSWORD"'),
        ({"timeout": 30}, 'timeout must have a unit: write "30s"'),
        ({"timeout": "0s"}, 'timeout must be from 10ms to 36500d: got "0s"'),
        ({"timeout": "soon"}, "timeout must be a duration"),
        ({"memory": "1MB"}, "memory must be from 16MB to 1024TB"),
        ({"memory": 512}, "memory must have a unit"),
        ({"disk": "lots"}, "disk must be a size"),
        ({"cpus": 0}, "cpus must be a number from 0.01"),
        ({"cpus": True}, "cpus must be a number from 0.01"),
        ({"processes": 0}, "processes must be a whole number from 1"),
        ({"network": "yes"}, "network must be true, false or a list such as"),
        ({"network": ["https://example.com"]}, r'network\[0\] must be "host:port", .* without "https://"'),
        ({"retry": 5}, "retry must be a table such as"),
        ({"retry": {"atempts": 5}}, r"retry.atempts is not a known key of a retry policy; did you mean attempts\?"),
        ({"retry": {"attempts": 0}}, "retry.attempts must be a whole number from 1"),
        ({"every": "1ms"}, "every must be from 1s to 36500d"),
        ({"every": "1h", "cron": "0 7 * * *"}, "every and cron exclude each other"),
        ({"cron": "7 o'clock"}, "cron must have five fields"),
        ({"overlap": "maybe"}, 'overlap must be one of "allow", "skip": got "maybe"'),
        ({"catch_up": "two"}, 'catch_up must be one of "one", "all", "none": got "two"'),
        ({"priority": 1.5}, "priority must be a whole number"),
        ({"tags": "nightly"}, "tags must be a list of text"),
        ({"tags": [""]}, r"tags\[0\] must be a text of 1 to 200 characters: got 0"),
        ({"queue": "q" * 300}, "queue must be a text of 1 to 200 characters: got 300"),
        ({"queue": "a\nb"}, "queue must be of characters that print"),
        ({"queue": "\ud800"}, "queue must be Unicode text, without a lone surrogate"),
        ({"queue": " a"}, "queue must be of characters that print, without spaces at its ends"),
        ({"name": "a b"}, "name must be named by words"),
        ({"name": ".a"}, "name must be named by words"),
        ({"description": ""}, "description must be a text"),
    ],
)
def test_a_wrong_option_is_refused_with_the_fix(options, message):
    with pytest.raises(InvalidOptionError, match=rf"^{message}"):
        task(**options)


@pytest.mark.parametrize("wrong", [5, "queue", int])
def test_only_functions_are_marked(wrong):
    with pytest.raises(InvalidOptionError, match="@task marks functions"):
        task(wrong)


@pytest.mark.parametrize("name", ["tenant:42", "a/b", "søknad 7", "user@example.com", "日本", "x" * 200])
def test_a_queue_is_the_users_own_word(name):
    assert task(queue=name)(lambda: None).__isolane__ == {"queue": name}
