"""What a task logs with `logging` reaches the runner, and never harms the task."""

from __future__ import annotations


def logged(ended):
    return [(frame["level"], frame["logger"], frame["message"]) for frame in ended.of("log")]


def test_records_are_sent_with_level_and_logger(guest):
    ended = guest.run(
        """
        import logging
        def run():
            logging.info("one %d", 1)
            logging.getLogger("a.b").warning("two")
            logging.debug("not this")
            logging.log(25, "between")
            logging.getLogger("c").critical("three")
        """
    )

    assert logged(ended) == [
        ("INFO", "root", "one 1"),
        ("WARNING", "a.b", "two"),
        ("INFO", "root", "between"),
        ("CRITICAL", "c", "three"),
    ]
    assert all(frame["at"] > 1_600_000_000_000_000 for frame in ended.of("log"))
    assert ended.stderr == ""


def test_an_exception_is_logged_with_its_traceback(guest):
    ended = guest.run(
        """
        import logging
        def run():
            try:
                1 / 0
            except ZeroDivisionError:
                logging.exception("failed")
        """
    )

    [(level, _, message)] = logged(ended)
    assert level == "ERROR"
    assert message.startswith("failed\nTraceback")
    assert "ZeroDivisionError" in message


def test_records_that_cannot_be_written_are_no_harm(guest):
    ended = guest.run(
        """
        import logging
        class Hostile:
            def __str__(self):
                raise RuntimeError("no")
        def run():
            logging.info("%d", "x")
            logging.info("%s", Hostile())
            logging.info("half \\ud800")
            logging.info("x" * 1_000_000)
            return 1
        """
    )

    assert ended.result == 1
    messages = [message for _, _, message in logged(ended)]
    assert messages[0].startswith("%d (its arguments do not fit")
    assert messages[1].startswith("%s (its arguments do not fit")
    assert messages[2] == "half \\ud800"
    assert len(messages[3]) <= 64 << 10


def test_basic_config_still_sets_the_level(guest):
    ended = guest.run(
        """
        import logging
        logging.basicConfig(level=logging.DEBUG)
        def run():
            logging.debug("now")
        """
    )

    assert logged(ended) == [("DEBUG", "root", "now")]


def test_handlers_of_the_task_stay_its_own(guest):
    ended = guest.run(
        """
        import logging, sys
        logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
        def run():
            logging.info("both")
        """
    )

    assert logged(ended) == [("INFO", "root", "both")]
    assert ended.stdout == "both\n"


def test_logging_in_a_forked_process_does_not_disturb_the_channel(guest):
    ended = guest.run(
        """
        import logging, os
        def run():
            child = os.fork()
            if child == 0:
                logging.info("from the child")
                os._exit(0)
            os.waitpid(child, 0)
            logging.info("from the parent")
        """
    )

    assert logged(ended) == [("INFO", "root", "from the parent")]


def test_nothing_follows_the_response(guest):
    ended = guest.run(
        """
        import logging, threading
        def chatter():
            while True:
                logging.info("more")
        def run():
            threading.Thread(target=chatter, daemon=True).start()
            return 1
        """
    )

    assert ended.result == 1
