"""Options of tasks: one layer at a time, then joined."""

from __future__ import annotations

import json

import pytest

from runner.domain.options.task_options import TaskOptions, merge_options, read_options
from runner.domain.retry import Retry
from runner.errors import InvalidOptionError


def test_no_options_are_the_defaults():
    assert merge_options() == TaskOptions()


def test_options_are_read_with_their_units():
    options = merge_options(
        read_options({"timeout": "1m30s", "memory": "256MB", "cpus": 2, "expires": "1h", "tags": ["a", "b", "a"]})
    )

    assert (options.timeout_s, options.memory_bytes, options.cpus, options.expires_s) == (90.0, 256 << 20, 2.0, 3600.0)
    assert options.tags == ("a", "b")


def test_later_layers_win_and_retry_is_joined_key_by_key():
    options = merge_options(
        read_options({"queue": "mail", "retry": {"attempts": 5, "first": "2s"}}),
        read_options({"queue": "", "retry": {"attempts": "none"}, "timeout": "none"}),
    )

    assert options.queue is None
    assert options.timeout_s == float("inf")
    assert options.retry == Retry(attempts=None, first="2s")


def test_one_kind_of_schedule_replaces_the_other():
    own, override = read_options({"every": "10m"}), read_options({"cron": "@daily"})

    assert merge_options(own, override) == TaskOptions(cron="@daily")
    assert merge_options(own, read_options({"every": "none"})) == TaskOptions()


def test_granted_hosts_are_kept_as_dns_has_them():
    options = merge_options(read_options({"network": ["SMTP.Example.com:587", "[2001:DB8::0:5]:443"]}))

    assert options.network == ("smtp.example.com:587", "[2001:db8::5]:443")
    assert merge_options(read_options({"network": []})).network is False
    assert merge_options(read_options({"network": ["a:1"]}), read_options({"network": False})).network is False


def test_a_document_reads_back():
    options = merge_options(
        read_options(
            {
                "timeout": "90m",
                "memory": "1.5GB",
                "disk": "1025KB",
                "cpus": 0.5,
                "every": "1h30m",
                "expires": "1234.5ms",
                "retry": {"attempts": "none", "on": ["error"]},
                "tags": ["a"],
                "network": ["localhost:5432"],
            }
        )
    )
    document = options.document()

    assert (document["timeout"], document["memory"], document["disk"]) == ("90m", "1536MB", "1025KB")
    assert (document["every"], document["expires"]) == ("90m", "1234.5ms")
    assert merge_options(read_options(json.loads(json.dumps(document)))) == options
    assert merge_options(read_options(TaskOptions().document())) == TaskOptions()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"timout": "5m"}, "here.timout is not a known task option; did you mean timeout?"),
        ({"secrets": ["x"]}, 'here.secrets[0] must be named in capital letters, digits and "_", such as SMTP_PASSWORD'),
        ({"secrets": "SMTP_PASSWORD"}, 'here.secrets must be a list of text: got "SMTP_PASSWORD"'),
        ({"timeout": 30}, 'here.timeout must have a unit: write "30s"'),
        ({"timeout": "0s"}, "here.timeout must be from 10ms"),
        ({"memory": "1MB"}, "here.memory must be from 16MB"),
        ({"memory": True}, "here.memory must be a size"),
        ({"cpus": "2"}, "here.cpus must be a number from 0.01 to 1024"),
        ({"cpus": float("nan")}, "here.cpus must be a number"),
        ({"processes": 1.5}, "here.processes must be a whole number from 1 to 32768: got 1.5"),
        ({"processes": True}, "here.processes must be a whole number from 1 to 32768: got true"),
        (
            {"network": "smtp:25"},
            'here.network must be true, false or a list such as ["smtp.example.com:587"]: got "smtp',
        ),
        ({"network": ["smtp:25", "smtp"]}, 'here.network[1] must be "host:port"'),
        ({"network": ["*.example.com:443"]}, "here.network[0] cannot be granted by a wildcard"),
        ({"network": [["smtp:25"]]}, "here.network[0] must be text"),
        ({"network": ["smtp:25", "SMTP:25"]}, "here.network[1] stands there twice: smtp:25"),
        ({"network": [f"smtp:{port}" for port in range(1, 34)]}, "here.network may name at most 32 hosts and ports"),
        ({"queue": "new\nline"}, "here.queue must be of characters that print"),
        ({"queue": "q" * 300}, "here.queue must be a text of 1 to 200 characters: got 300"),
        ({"retry": 3}, "here.retry must be a table such as {attempts = 3}: got 3"),
        ({"retry": {"attempt": 3}}, "here.retry.attempt is not a known key of a retry policy; did you mean attempts?"),
        ({"retry": {"attempts": 0}}, "here.retry.attempts must be a whole number from 1"),
        ({"retry": {"first": 1}}, "here.retry.first must have a unit"),
        ({"retry": {"on": [["error"]]}}, "here.retry.on may list"),
        ({"every": "10ms"}, "here.every must be from 1s"),
        ({"cron": "* * *"}, "here.cron must have five fields"),
        ({"cron": "0 0 31 2 *"}, "here.cron can never fire"),
        ({"cron": "@daily", "every": "1h"}, "here.every and here.cron exclude each other"),
        (
            {"timezone": "Europe/Olso"},
            'here.timezone must be a time zone such as "Europe/Oslo": got "Europe/Olso"; did',
        ),
        ({"timezone": "../../etc/passwd"}, "here.timezone must be a time zone"),
        ({"timezone": ""}, "here.timezone must be a time zone"),
        ({"overlap": "maybe"}, 'here.overlap must be one of "allow", "skip": got "maybe"'),
        ({"catch_up": "two"}, 'here.catch_up must be one of "one", "all", "none": got "two"'),
        ({"priority": 10**9}, "here.priority must be a whole number"),
        ({"tags": "one"}, 'here.tags must be a list of text: got "one"'),
        ({"tags": ["fine", "new\nline"]}, "here.tags[1] must be of characters that print"),
        ({"tags": ["t"] * 51}, "here.tags must have at most 50 entries"),
        ({"description": 5}, "here.description must be text: got 5"),
        ({"description": "\ud800"}, "a lone surrogate"),
    ],
)
def test_a_wrong_option_is_refused_with_its_place(raw, says):
    with pytest.raises(InvalidOptionError) as refused:
        read_options(raw, "here.")

    assert says in str(refused.value)
