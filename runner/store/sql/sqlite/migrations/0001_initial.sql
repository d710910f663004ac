-- Version 1 of the store. What the tables mean together is told in runner/store/README.md.
-- `seq` and `run` are the store's own numbers of runs; whatever a caller can name is keyed by its app first.
-- A queue of '' stands for "no queue". Instants are microseconds since 1970, UTC.

CREATE TABLE transitions (
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    PRIMARY KEY (old, new)
) STRICT, WITHOUT ROWID;

INSERT INTO transitions (old, new) VALUES
    ('scheduled', 'queued'), ('scheduled', 'cancelled'), ('scheduled', 'expired'),
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'expired'),
    ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('running', 'retrying'), ('running', 'waiting'), ('running', 'queued'),
    ('waiting', 'running'), ('waiting', 'cancelled'),
    ('retrying', 'running'), ('retrying', 'cancelled');

CREATE TABLE runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- age: never given twice, kept for life
    app TEXT NOT NULL,
    id TEXT NOT NULL,
    task TEXT NOT NULL,
    queue TEXT NOT NULL,
    status TEXT NOT NULL,
    ready INTEGER,  -- 1: may be claimed, 0: waits until it is due, NULL: does not wait
    priority INTEGER NOT NULL,
    reason TEXT,
    why TEXT,
    tags TEXT NOT NULL,  -- JSON array, mirrored in run_tags
    idempotency_key TEXT,
    parameters_digest BLOB,  -- of the canonical parameters, where there is an idempotency key
    parent TEXT,
    scheduled_by TEXT NOT NULL DEFAULT '',  -- the task whose run scheduled it, '' for outside
    replay_of TEXT,
    root TEXT,  -- the first run of its chain of repeats, NULL where that is itself
    schedule TEXT,
    retry TEXT,  -- JSON object
    timeout_s REAL,
    attempt_count INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    children INTEGER NOT NULL DEFAULT 0,  -- runs that named it as their parent, pruned ones included
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    first_due_at INTEGER,  -- set once `due_at` is that of a later attempt
    delay_us INTEGER,  -- from `created_at` on; NULL where an instant was named
    expires_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    cancel_requested_at INTEGER,
    UNIQUE (app, id),
    CHECK (CASE status
        WHEN 'scheduled' THEN ready IS 0
        WHEN 'queued' THEN ready IS 1
        WHEN 'waiting' THEN ready IS NOT NULL
        WHEN 'retrying' THEN ready IS NOT NULL
        WHEN 'running' THEN ready IS NULL
        WHEN 'succeeded' THEN ready IS NULL
        WHEN 'failed' THEN ready IS NULL
        WHEN 'cancelled' THEN ready IS NULL
        WHEN 'expired' THEN ready IS NULL
        ELSE FALSE  -- no such status
    END),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)),
    CHECK (started_at IS NOT NULL OR status IN ('scheduled', 'queued', 'cancelled', 'expired')),
    CHECK (started_at IS NULL OR status NOT IN ('scheduled', 'expired')),
    CHECK ((started_at IS NULL) = (attempt_count = 0))
) STRICT;

-- To claim the best run of a lane; to purge a queue.
CREATE INDEX runs_waiting ON runs (app, queue, task, ready, priority DESC, seq) WHERE ready IS NOT NULL;
-- To ripen, to expire, to prune.
CREATE INDEX runs_due ON runs (due_at) WHERE ready = 0;
CREATE INDEX runs_expiring ON runs (expires_at) WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL;
CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;
-- A key counts for each task that schedules, and for all of outside together.
CREATE UNIQUE INDEX runs_idempotency ON runs (app, task, scheduled_by, idempotency_key)
WHERE idempotency_key IS NOT NULL;
-- To count what one task has waiting.
CREATE INDEX runs_waiting_by ON runs (app, scheduled_by, queue, task) WHERE ready IS NOT NULL AND scheduled_by <> '';
-- To list, newest first.
CREATE INDEX runs_by_status ON runs (app, status, seq);
CREATE INDEX runs_by_task ON runs (app, task, seq);
CREATE INDEX runs_by_queue ON runs (app, queue, seq) WHERE queue <> '';

CREATE TABLE run_parameters (
    run INTEGER PRIMARY KEY REFERENCES runs (seq) ON DELETE CASCADE,
    parameters TEXT NOT NULL
) STRICT;

CREATE TABLE run_responses (
    run INTEGER PRIMARY KEY REFERENCES runs (seq) ON DELETE CASCADE,
    result TEXT,
    error TEXT,  -- JSON object
    progress TEXT  -- JSON object
) STRICT;

CREATE TABLE run_tags (
    app TEXT NOT NULL,
    tag TEXT NOT NULL,
    run INTEGER NOT NULL,
    PRIMARY KEY (app, tag, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    fence INTEGER PRIMARY KEY AUTOINCREMENT,  -- only grows, also after pruning
    run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    token TEXT NOT NULL,
    node TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    reason TEXT CHECK (reason IN ('success', 'error', 'timeout', 'out_of_memory', 'crash', 'lost', 'cancelled',
                                  'drained', 'suspended')),
    why TEXT,
    error TEXT,  -- JSON object; of the newest hundred attempts of a run
    exit_code INTEGER,
    signal INTEGER,
    peak_memory_bytes INTEGER,
    cpu_time_s REAL,
    sandbox TEXT,
    code TEXT,
    UNIQUE (run, number),
    CHECK ((finished_at IS NULL) = (reason IS NULL))
) STRICT;

CREATE UNIQUE INDEX attempts_open ON attempts (run) WHERE finished_at IS NULL;

-- A store that is being made as the copy of another one, until that is done: it takes runs in any status.
CREATE TABLE copying (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    source TEXT NOT NULL
) STRICT;

-- Queues that have runs waiting or running, are paused, or kept shut by their rate. Others have no row.
CREATE TABLE queues (
    app TEXT NOT NULL,
    name TEXT NOT NULL CHECK (name <> ''),
    concurrency INTEGER NOT NULL CHECK (concurrency >= 1),
    strict INTEGER NOT NULL CHECK (strict IN (0, 1)),
    interval_us INTEGER NOT NULL CHECK (interval_us >= 0),
    rate TEXT,
    paused_at INTEGER,
    opens_at INTEGER,  -- set while the rate keeps it shut
    PRIMARY KEY (app, name),
    CHECK (strict = 0 OR concurrency = 1)
) STRICT, WITHOUT ROWID;

CREATE INDEX queues_opening ON queues (opens_at) WHERE opens_at IS NOT NULL;

-- One at a time: whoever runs in a queue has one of its slots.
CREATE TABLE holders (
    app TEXT NOT NULL,
    queue TEXT NOT NULL,
    slot INTEGER NOT NULL CHECK (slot >= 0),
    run INTEGER NOT NULL UNIQUE REFERENCES runs (seq),
    since INTEGER NOT NULL,
    PRIMARY KEY (app, queue, slot),
    FOREIGN KEY (app, queue) REFERENCES queues (app, name)
) STRICT, WITHOUT ROWID;

-- The runs of one task in one queue (or of one task without a queue) that wait. Empty lanes have no row.
CREATE TABLE lanes (
    app TEXT NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    ready INTEGER NOT NULL CHECK (ready >= 0),  -- runs that may be claimed
    later INTEGER NOT NULL CHECK (later >= 0),  -- runs that are not due yet
    open INTEGER NOT NULL CHECK (open IN (0, 1)),  -- the next run of its queue is in it, and may start
    loadable INTEGER NOT NULL CHECK (loadable IN (0, 1)),  -- its task is announced
    turn INTEGER NOT NULL,  -- the lowest goes first
    PRIMARY KEY (app, queue, task)
) STRICT, WITHOUT ROWID;

CREATE INDEX lanes_claimable ON lanes (app, task, turn, queue) WHERE ready > 0 AND open = 1 AND loadable = 1;
CREATE INDEX lanes_by_task ON lanes (app, task, loadable, queue);

-- Whose turn it is: one number that only grows.
CREATE TABLE clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    turn INTEGER NOT NULL
) STRICT;

INSERT INTO clock (one, turn) VALUES (1, 0);

CREATE TABLE announced (
    app TEXT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (app, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE totals (
    app TEXT NOT NULL,
    status TEXT NOT NULL,
    runs INTEGER NOT NULL CHECK (runs >= 0),
    PRIMARY KEY (app, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    task TEXT NOT NULL,
    rule TEXT NOT NULL,
    next_at INTEGER,
    last_at INTEGER,
    last_run TEXT,
    declared_at INTEGER NOT NULL,  -- when a node last told that its tasks declare it
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    digest BLOB PRIMARY KEY,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What may follow what.

CREATE TRIGGER runs_begin BEFORE INSERT ON runs
WHEN NEW.status NOT IN ('scheduled', 'queued') AND NOT EXISTS (SELECT 1 FROM copying)
BEGIN
    SELECT RAISE(ABORT, 'a run begins as scheduled or queued');
END;

CREATE TRIGGER runs_follow BEFORE UPDATE OF status ON runs
WHEN OLD.status <> NEW.status
    AND NOT EXISTS (SELECT 1 FROM transitions WHERE old = OLD.status AND new = NEW.status)
BEGIN
    SELECT RAISE(ABORT, 'a status that may not follow');
END;

-- One at a time.

CREATE TRIGGER runs_hold BEFORE UPDATE OF status ON runs
WHEN NEW.status = 'running' AND NEW.queue <> '' AND NOT EXISTS (SELECT 1 FROM holders WHERE run = NEW.seq)
BEGIN
    SELECT RAISE(ABORT, 'a run of a queue runs only while it holds a slot of it');
END;

CREATE TRIGGER holders_fit BEFORE INSERT ON holders
WHEN NEW.slot >= (SELECT concurrency FROM queues WHERE app = NEW.app AND name = NEW.queue)
    OR NOT EXISTS (SELECT 1 FROM runs WHERE seq = NEW.run AND app = NEW.app AND queue = NEW.queue)
BEGIN
    SELECT RAISE(ABORT, 'no such slot in the queue, or no run of it');
END;

CREATE TRIGGER holders_stay BEFORE DELETE ON holders
WHEN (SELECT status FROM runs WHERE seq = OLD.run) = 'running'
BEGIN
    SELECT RAISE(ABORT, 'a running run keeps its slot');
END;

-- What is counted is counted here and nowhere else.

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

CREATE TRIGGER runs_tagged AFTER INSERT ON runs WHEN NEW.tags <> '[]'
BEGIN
    INSERT OR IGNORE INTO run_tags (app, tag, run) SELECT NEW.app, value, NEW.seq FROM json_each(NEW.tags);
END;

CREATE TRIGGER runs_enter_lane AFTER UPDATE OF ready ON runs WHEN OLD.ready IS NULL AND NEW.ready IS NOT NULL
BEGIN
    INSERT INTO lanes (app, queue, task, ready, later, open, loadable, turn)
    VALUES (NEW.app, NEW.queue, NEW.task, NEW.ready, 1 - NEW.ready, NEW.queue = '',
            EXISTS (SELECT 1 FROM announced WHERE app = NEW.app AND task = NEW.task), (SELECT turn FROM clock))
    ON CONFLICT (app, queue, task) DO UPDATE SET ready = ready + excluded.ready, later = later + excluded.later;
END;

CREATE TRIGGER runs_ripen_in_lane AFTER UPDATE OF ready ON runs WHEN OLD.ready <> NEW.ready
BEGIN
    UPDATE lanes SET ready = ready + NEW.ready - OLD.ready, later = later + OLD.ready - NEW.ready
    WHERE app = NEW.app AND queue = NEW.queue AND task = NEW.task;
END;

CREATE TRIGGER runs_leave_lane AFTER UPDATE OF ready ON runs WHEN OLD.ready IS NOT NULL AND NEW.ready IS NULL
BEGIN
    UPDATE lanes SET ready = ready - OLD.ready, later = later - (1 - OLD.ready)
    WHERE app = OLD.app AND queue = OLD.queue AND task = OLD.task;
    DELETE FROM lanes WHERE app = OLD.app AND queue = OLD.queue AND task = OLD.task AND ready = 0 AND later = 0;
END;

CREATE TRIGGER runs_move AFTER UPDATE OF status ON runs WHEN OLD.status <> NEW.status
BEGIN
    UPDATE totals SET runs = runs - 1 WHERE app = OLD.app AND status = OLD.status;
    INSERT INTO totals (app, status, runs) VALUES (NEW.app, NEW.status, 1)
    ON CONFLICT (app, status) DO UPDATE SET runs = runs + 1;
END;

-- Only final runs are deleted, so no lane counts them any more.
CREATE TRIGGER runs_end BEFORE DELETE ON runs WHEN OLD.finished_at IS NULL
BEGIN
    SELECT RAISE(ABORT, 'only a final run can be deleted');
END;

CREATE TRIGGER runs_deleted AFTER DELETE ON runs
BEGIN
    UPDATE totals SET runs = runs - 1 WHERE app = OLD.app AND status = OLD.status;
    DELETE FROM run_tags
    WHERE app = OLD.app AND run = OLD.seq AND tag IN (SELECT value FROM json_each(OLD.tags));
END;
