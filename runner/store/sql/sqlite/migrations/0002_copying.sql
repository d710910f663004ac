-- Version 2: a store that is being made as the copy of another one takes runs in any status.

CREATE TABLE copying (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    source TEXT NOT NULL
) STRICT;

DROP TRIGGER runs_begin;

CREATE TRIGGER runs_begin BEFORE INSERT ON runs
WHEN NEW.status NOT IN ('scheduled', 'queued') AND NOT EXISTS (SELECT 1 FROM copying)
BEGIN
    SELECT RAISE(ABORT, 'a run begins as scheduled or queued');
END;

DROP TRIGGER runs_inserted;

CREATE TRIGGER runs_inserted AFTER INSERT ON runs
BEGIN
    INSERT INTO lanes (app, queue, task, ready, later, open, loadable, turn)
    SELECT NEW.app, NEW.queue, NEW.task, NEW.ready, 1 - NEW.ready, NEW.queue = '',
           EXISTS (SELECT 1 FROM announced WHERE app = NEW.app AND task = NEW.task), (SELECT turn FROM clock)
    WHERE NEW.ready IS NOT NULL
    ON CONFLICT (app, queue, task) DO UPDATE SET ready = ready + excluded.ready, later = later + excluded.later;
    INSERT INTO totals (app, status, runs) VALUES (NEW.app, NEW.status, 1)
    ON CONFLICT (app, status) DO UPDATE SET runs = runs + 1;
END;
