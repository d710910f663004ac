"""What is wrong in the config is refused, naming the file, the key, what is allowed and what was given."""

from __future__ import annotations

import sys

import pytest

from runner.config import load_settings
from runner.domain.options.queue_rule import QueueRule
from runner.domain.retry import Retry
from runner.errors import ConfigError
from sandbox.spec import Mount


@pytest.fixture
def project(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "data" / "reports").mkdir(parents=True)
    (tmp_path / "tasks" / "sub").mkdir(parents=True)
    (tmp_path / ".isolane" / "code").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def settings_of(project):
    def load(text):
        (project / "config" / "isolane.toml").write_text(text)
        return load_settings(None, cwd=project)

    return load


def test_an_empty_file_is_all_defaults(settings_of, project):
    settings = settings_of("")

    assert settings.project == project
    assert settings.file == project / "config" / "isolane.toml"
    assert settings.runner.concurrency >= 4
    assert settings.runner.memory_bytes >= 16 << 20
    assert settings.runner.lease_s == 15
    assert settings.sandbox.require is None
    assert settings.queue_rule("main", "any") == QueueRule()
    assert settings.mounts_for("any", "any") == ()


def test_names_of_the_server_may_be_addresses(settings_of):
    names = ("tasks.example.com", "10.0.0.1", "::1", "fe80::1")

    assert settings_of(f"[server]\nhosts = {list(names)}").server.hosts == names


def test_the_nearest_config_above_is_found(settings_of, project):
    settings_of("[runner]\nconcurrency = 7")
    inner = project / "data" / "reports"

    assert load_settings(None, cwd=inner).runner.concurrency == 7
    assert load_settings(None, cwd=inner).project == project


def test_a_config_outside_a_config_folder_has_its_own_folder_as_project(project):
    (project / "other.toml").write_text("")

    assert load_settings(project / "other.toml", cwd=project / "data").project == project


def test_no_config_tells_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="isolane init"):
        load_settings(None, cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"no config file .*mine\.toml"):
        load_settings(tmp_path / "mine.toml", cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load_settings(tmp_path, cwd=tmp_path)


def test_a_syntax_error_names_file_and_line(settings_of):
    with pytest.raises(ConfigError, match=r"isolane\.toml:3: .*column 7"):
        settings_of("[runner]\nport = 1\nhost =\n")


def test_a_file_that_is_no_text_is_refused(project):
    (project / "config" / "isolane.toml").write_bytes(b"[runner]\nhost = '\xff'")

    with pytest.raises(ConfigError, match=r"isolane\.toml: must be UTF-8"):
        load_settings(None, cwd=project)


def test_a_file_nested_without_end_is_refused(settings_of):
    with pytest.raises(ConfigError, match="nested too deeply"):
        settings_of("x = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runner = 3", "runner must be a table: got 3"),
        ("[runer]", "runer is not a known key; did you mean runner?"),
        ("[presets]", "presets is not a known key; known are runner, server, defaults, queues"),
        ("[runner]\nlisten = 'x'", "runner.listen is not a known key; did you mean listen_url?"),
        ("[runner]\nlisten_url = 'x'", 'runner.listen_url must be "postgresql://…", or "" for none: got "x"'),
        ("[runner]\nname = 'a b'", "runner.name may hold letters, digits and the characters _ . : @ -: got"),
        ("[runner]\nmemory_bytes = 1", "runner.memory_bytes is not a known key; did you mean memory?"),
        ("[runner]\nconcurrency = 0", "runner.concurrency must be a whole number from 1 to 10000: got 0"),
        ("[runner]\nconcurrency = '4'", 'runner.concurrency must be a whole number from 1 to 10000: got "4"'),
        ("[runner]\nconcurrency = true", "runner.concurrency must be a whole number from 1 to 10000: got true"),
        ("[runner]\nconcurrency = 4.0", "runner.concurrency must be a whole number from 1 to 10000: got 4.0"),
        ("[runner]\nport = 65536", "runner.port must be a whole number from 0 to 65535: got 65536"),
        ("[runner]\nhost = 1", "runner.host must be text: got 1"),
        ("[runner]\nlease = 15", 'runner.lease must have a unit: write "15s"'),
        ("[runner]\nlease = '15'", 'runner.lease must be a duration such as "200ms"'),
        ("[runner]\nlease = '1ms'", 'runner.lease must be from 1s to 10m: got "1ms"'),
        ("[runner]\nlease = 2026-11-20", "runner.lease must be a duration"),
        ("[runner]\nmemory = 2", 'runner.memory must have a unit: write "2MB"'),
        ("[runner]\nmemory = '1KB'", 'runner.memory must be from 16MB to 1024TB: got "1KB"'),
        ("[runner]\nstore = 'postgres://x'", 'runner.store must begin with "sqlite:" and name a file after it, or be'),
        ("[runner]\nstore = 'sqlite:'", 'runner.store must begin with "sqlite:" and name a file after it'),
        ("[server]\nconnections = 8", "server.connections must be a whole number from 16 to 100000: got 8"),
        ("[server]\nhosts = 'x'", 'server.hosts must be a list of names such as ["tasks.example.com"]: got "x"'),
        ("[server]\nhosts = ['x:80']", 'server.hosts[0] must be a name or an address without a port, such as "::1"'),
        ("[server]\nhosts = ['http://x']", "server.hosts[0] must be a name or an address without a port"),
        ("[defaults]\ntimout = '5m'", "defaults.timout is not a known task option; did you mean timeout?"),
        ("[defaults]\ntimeout = 300", 'defaults.timeout must have a unit: write "300s"'),
        ("[defaults.retry]\nattempts = -1", "defaults.retry.attempts must be a whole number from 1"),
        ("defaults = []", "defaults must be a table: got a list of 0"),
        ("[queues]\nbilling = 3", "queues.billing must be a table: got 3"),
        ("queues = 3", "queues must be a table: got 3"),
        ("[queues.'a:b']\nrat = '1/s'", 'queues."a:b".rat is not a known key; did you mean rate?'),
        ("[queues.x]\nrate = 10", "queues.x.rate must be text: got 10"),
        ("[queues.x]\nrate = '10'", 'queues.x.rate must be a rate such as "10/s", "100/m", "5/h" or "20/d": got "10"'),
        ("[queues.x]\nrate = '0/s'", "queues.x.rate must be a rate"),
        ("[queues.x]\nrate = '10/w'", "queues.x.rate must be a rate"),
        ("[queues.x]\norder = 'random'", 'queues.x.order must be one of "relaxed", "strict": got "random"'),
        (
            "[queues.x]\norder = 'strict'\nconcurrency = 2",
            'queues.x.order may be "strict" only at concurrency 1: got 2',
        ),
        (f"[queues.{'q' * 300}]", "must be a text of 1 to 200 characters: got 300"),
        ("[tasks.'billing.invoice']\ntimeout = 30", 'tasks."billing.invoice".timeout must have a unit: write "30s"'),
        ("[tasks.billing.invoice]\ntimeout = '30s'", 'is quoted: [tasks."billing.invoice"]'),
        ("[tasks.x]\nname = 'y'", "tasks.x.name is not a known task option"),
        ("[tasks.'no task']", 'tasks."no task" must be named by words'),
        ("[tasks.x]\ncron = '0 0 31 2 *'", "tasks.x.cron can never fire"),
        ("[tasks.x]\ntimezone = 'Oslo'", "tasks.x.timezone must be a time zone"),
        ("mounts = {}", "mounts must be a list: got a dict of 0"),
        ("[[mounts]]\ntarget = '/data'", "mounts[0].source must be given"),
        (
            "[[mounts]]\nsource = 'data'\ntarget = '/data'\nwritable = 1",
            "mounts[0].writable must be true or false: got 1",
        ),
        ("[[mounts]]\nsource = 'data'\ntarget = '/data'\ntasks = '*'", 'mounts[0].tasks must be a list: got "*"'),
        ("[[mounts]]\nsource = 'nowhere'\ntarget = '/data'", 'mounts[0].source must exist: got "nowhere"'),
        ("[[mounts]]\nsource = ''\ntarget = '/data'", "mounts[0].source must exist"),
        ("[[mounts]]\nsource = '.'\ntarget = '/data'", "mounts[0].source must not show tasks"),
        ("[[mounts]]\nsource = 'config'\ntarget = '/c'\nwritable = true", "mounts[0].writable must be false: tasks"),
        ("[[mounts]]\nsource = 'tasks/sub'\ntarget = '/c'\nwritable = true", "mounts[0].writable must be false: tasks"),
        ("[[mounts]]\nsource = '.isolane/code'\ntarget = '/data'", "mounts[0].source must not show tasks"),
        (
            "[[mounts]]\nsource = 'data'\ntarget = 'data'",
            'mounts[0].target must be a plain absolute path such as "/data"',
        ),
        ("[[mounts]]\nsource = 'data'\ntarget = '/a/../usr'", "mounts[0].target must be a plain absolute path"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/'", "mounts[0].target must leave /bin as it is"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/proc/1'", "mounts[0].target must leave /proc as it is"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/tmp'", "mounts[0].target must leave /tmp as it is"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/tmp/x'", "mounts[0].target must leave /tmp as it is"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/var/tmp/x'", "mounts[0].target must leave /var/tmp as it is"),
        ("[[mounts]]\nsource = 'data'\ntarget = '/code'", "mounts[0].target must leave /code as it is"),
        (f"[[mounts]]\nsource = 'data'\ntarget = '{sys.prefix}'", "as it is; choose a path such as"),
        ("[sandbox]\nlevel = 'none'", 'sandbox.level must be one of "auto", "full", "restricted", "basic": got "none"'),
        ("[sandbox]\nrequire = 'auto'", 'sandbox.require must be one of "full", "restricted", "basic": got "auto"'),
        ("[sandbox]\npreload = 'numpy'", 'sandbox.preload must be a list of modules such as ["numpy"]: got "numpy"'),
        ("[sandbox]\npreload = ['a b']", "sandbox.preload[0] must be a module's dotted name such as"),
        ("[sandbox]\npreload = ['json', 'a.class']", "sandbox.preload[1] must be a module's dotted name"),
        ("[sandbox]\npreload = [3]", "sandbox.preload[0] must be a module's dotted name"),
        ("[sandbox]\npreload = ['tasks.mail']", "sandbox.preload[0] must be an installed module"),
        ("[limits]\nparameters = '1GB'", 'limits.parameters must be from 1KB to 15MB: got "1GB"'),
        ("[limits]\nchildren_per_run = 0", "limits.children_per_run must be a whole number from 1"),
        ("[retention]\nruns = 'ever'", "retention.runs must be a duration"),
    ],
)
def test_what_is_wrong_is_named(settings_of, text, says):
    with pytest.raises(ConfigError) as refused:
        settings_of(text)

    assert "config/isolane.toml: " in str(refused.value)
    assert says in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(settings_of):
    with pytest.raises(ConfigError) as refused:
        settings_of("[runner]\nport = -1\nlease = 3\n[limits]\nlog = 1\n[tasks.x]\ncpus = 'all'")

    keys = [line.split(": ")[1].split(" ")[0] for line in str(refused.value).splitlines()]
    assert keys == ["runner.port", "runner.lease", "tasks.x.cpus", "limits.log"]


def test_a_mount_must_not_show_the_store_wherever_it_is(settings_of):
    with pytest.raises(ConfigError, match="must not show tasks"):
        settings_of("[runner]\nstore = 'sqlite:data/runs.db'\n[[mounts]]\nsource = 'data'\ntarget = '/data'")


def test_modules_to_preload_are_kept_in_their_order_and_once(settings_of):
    assert settings_of("").sandbox.preload == ()
    assert settings_of("[sandbox]\npreload = ['numpy', 'xml.dom', 'numpy']").sandbox.preload == ("numpy", "xml.dom")


def test_an_exact_queue_goes_before_patterns_and_the_first_pattern_before_others(settings_of):
    settings = settings_of("""
        [queues."tenant:*"]
        concurrency = 2
        [queues."*"]
        concurrency = 3
        [queues."tenant:vip"]
        order = "strict"
        rate = "100/m"
    """)

    assert settings.queue_rule("main", "tenant:7") == QueueRule(concurrency=2)
    assert settings.queue_rule("main", "other") == QueueRule(concurrency=3)
    assert settings.queue_rule("main", "tenant:vip") == QueueRule(order="strict", rate="100/m")


def test_mounts_are_given_to_the_tasks_they_name(settings_of, project):
    settings = settings_of("""
        [[mounts]]
        source = "data/reports"
        target = "/data/reports"
        writable = true
        tasks = ["reports.*", "billing"]
        [[mounts]]
        source = "data"
        target = "/data"
    """)
    data = Mount(source=str(project / "data"), target="/data", owned=True)
    reports = Mount(source=str(project / "data" / "reports"), target="/data/reports", writable=True, owned=True)

    assert settings.mounts_for("reports.daily", "reports.daily") == (data, reports)
    assert settings.mounts_for("billing", "billing") == (data, reports)
    assert settings.mounts_for("reports", "reports") == (data,)
    assert settings.mounts_for("reports.mine", "untrusted.mine") == (data,)
    assert settings.mounts_for("mine", "reports.mine") == (data,)
    assert settings.mounts_for("billing", "reports.mine") == (data, reports)


def test_two_mounts_of_one_task_at_one_place_are_refused(settings_of):
    mounts = "[[mounts]]\nsource = 'data'\ntarget = '/data'\ntasks = ['%s']\n"
    settings = settings_of(mounts % "a*" + mounts % "b*")

    assert len(settings.mounts_for("apple", "apple")) == 1
    settings = settings_of(mounts % "a*" + mounts % "*e")
    with pytest.raises(ConfigError, match=r"\[\[mounts\]\] show task apple something at /data twice"):
        settings.mounts_for("apple", "apple")


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("tasks", "/data/none", "data/none must be a folder: make one"),
        ("tasks", "/data/reports/deep", "data/reports/deep must be a folder: make one"),
        ("config/isolane.toml", "/data/reports", "data/reports must be a file: make one"),
        ("tasks", "/data/link", "data/link must be a folder: make one"),
        ("tasks", "/data/link/sub", "data/link/sub must be a folder: make one"),
    ],
)
def test_a_mount_inside_of_another_needs_a_place_there(settings_of, project, source, target, says):
    (project / "data" / "link").symlink_to(project / "tasks")
    settings = settings_of(f"""
        [[mounts]]
        source = "data"
        target = "/data"
        [[mounts]]
        source = "{source}"
        target = "{target}"
        tasks = ["a*"]
    """)

    assert len(settings.mounts_for("billing", "billing")) == 1
    with pytest.raises(ConfigError, match=rf"show task apple {target} inside of /data, so .*{says}"):
        settings.mounts_for("apple", "apple")


def test_options_come_in_three_layers(settings_of):
    settings = settings_of("""
        [defaults]
        timeout = "1m"
        memory = "64MB"
        [defaults.retry]
        attempts = 9
        first = "5s"
        [tasks."billing.invoice"]
        memory = "256MB"
        retry = { attempts = 2 }
    """)
    options = settings.task_options("billing.invoice", {"timeout": "2m", "memory": "128MB", "retry": {"attempts": 4}})

    assert (options.timeout_s, options.memory_bytes) == (120, 256 << 20)
    assert options.retry == Retry(attempts=2, first="5s")
