-- Version 1 of the store. What the tables mean together is told in runner/store/README.md.
-- `seq` and `run` are the store's own numbers of runs; whatever a caller can name is keyed by its app first.
-- A queue of '' stands for "no queue". Instants are microseconds since 1970, UTC. Names are in byte order.
-- Tables whose rows change often leave room in their pages for that, and are swept early.

CREATE TABLE transitions (
    old text NOT NULL,
    new text NOT NULL,
    PRIMARY KEY (old, new)
);

INSERT INTO transitions (old, new) VALUES
    ('scheduled', 'queued'), ('scheduled', 'cancelled'), ('scheduled', 'expired'),
    ('queued', 'running'), ('queued', 'cancelled'), ('queued', 'expired'),
    ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'),
    ('running', 'retrying'), ('running', 'waiting'), ('running', 'queued'),
    ('waiting', 'running'), ('waiting', 'cancelled'),
    ('retrying', 'running'), ('retrying', 'cancelled');

CREATE TABLE runs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- age: never given twice, kept for life
    app text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    status text NOT NULL,
    ready smallint,  -- 1: may be claimed, 0: waits until it is due, NULL: does not wait
    priority bigint NOT NULL,
    reason text,
    why text,
    tags text NOT NULL,  -- JSON array, mirrored in run_tags
    idempotency_key text COLLATE "C",
    parameters_digest bytea,  -- of the canonical parameters, where there is an idempotency key
    parent text COLLATE "C",
    scheduled_by text COLLATE "C" NOT NULL DEFAULT '',  -- the task whose run scheduled it, '' for outside
    replay_of text COLLATE "C",
    root text COLLATE "C",  -- the first run of its chain of repeats, NULL where that is itself
    schedule text COLLATE "C",
    retry text,  -- JSON object
    timeout_s double precision,
    attempt_count integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    losses integer NOT NULL DEFAULT 0,
    children integer NOT NULL DEFAULT 0,  -- runs that named it as their parent, pruned ones included
    created_at bigint NOT NULL,
    due_at bigint NOT NULL,
    first_due_at bigint,  -- set once `due_at` is that of a later attempt
    delay_us bigint,  -- from `created_at` on; NULL where an instant was named
    expires_at bigint,
    started_at bigint,
    finished_at bigint,
    cancel_requested_at bigint,
    UNIQUE (app, id),
    CHECK (coalesce(CASE status
        WHEN 'scheduled' THEN ready = 0
        WHEN 'queued' THEN ready = 1
        WHEN 'waiting' THEN ready IS NOT NULL
        WHEN 'retrying' THEN ready IS NOT NULL
        WHEN 'running' THEN ready IS NULL
        WHEN 'succeeded' THEN ready IS NULL
        WHEN 'failed' THEN ready IS NULL
        WHEN 'cancelled' THEN ready IS NULL
        WHEN 'expired' THEN ready IS NULL
    END, FALSE)),
    CHECK (ready IN (0, 1)),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)),
    CHECK (started_at IS NOT NULL OR status IN ('scheduled', 'queued', 'cancelled', 'expired')),
    CHECK (started_at IS NULL OR status NOT IN ('scheduled', 'expired')),
    CHECK ((started_at IS NULL) = (attempt_count = 0))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

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

-- These four go with their run, by the trigger `runs_deleted`: a foreign key would look its run up for each row.
CREATE TABLE run_parameters (
    run bigint PRIMARY KEY,
    parameters text NOT NULL
);

CREATE TABLE run_responses (
    run bigint PRIMARY KEY,
    result text,
    error text,  -- JSON object
    progress text  -- JSON object
);

CREATE TABLE run_tags (
    app text COLLATE "C" NOT NULL,
    tag text COLLATE "C" NOT NULL,
    run bigint NOT NULL,
    PRIMARY KEY (app, tag, run)
);

CREATE TABLE attempts (
    fence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- only grows, also after pruning
    run bigint NOT NULL,
    number integer NOT NULL,
    token text NOT NULL,
    node text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    finished_at bigint,
    reason text CHECK (reason IN ('success', 'error', 'timeout', 'out_of_memory', 'crash', 'lost', 'cancelled',
                                  'drained', 'suspended')),
    why text,
    error text,  -- JSON object; of the newest hundred attempts of a run
    exit_code integer,
    signal integer,
    peak_memory_bytes bigint,
    cpu_time_s double precision,
    sandbox text,
    code text,
    UNIQUE (run, number),
    CHECK ((finished_at IS NULL) = (reason IS NULL))
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX attempts_open ON attempts (run) WHERE finished_at IS NULL;
CREATE INDEX attempts_open_by_node ON attempts (node, fence) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX attempts_open_by_token ON attempts (token) WHERE finished_at IS NULL;

-- A store that is being made as the copy of another one, until that is done: it takes runs in any status.
CREATE TABLE copying (
    one integer PRIMARY KEY CHECK (one = 1),
    source text NOT NULL
);

-- Queues that have runs waiting or running, are paused, or kept shut by their rate. Others have no row.
-- Whoever changes what waits, runs or may start in a queue holds the lock on its row.
CREATE TABLE queues (
    app text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL CHECK (name <> ''),
    concurrency integer NOT NULL CHECK (concurrency >= 1),
    strict boolean NOT NULL,
    interval_us bigint NOT NULL CHECK (interval_us >= 0),
    rate text,
    paused_at bigint,
    opens_at bigint,  -- set while the rate keeps it shut
    PRIMARY KEY (app, name),
    CHECK (NOT strict OR concurrency = 1)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX queues_opening ON queues (opens_at) WHERE opens_at IS NOT NULL;

-- One at a time: whoever runs in a queue has one of its slots.
CREATE TABLE holders (
    app text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    slot integer NOT NULL CHECK (slot >= 0),
    run bigint NOT NULL UNIQUE REFERENCES runs (seq),
    since bigint NOT NULL,
    PRIMARY KEY (app, queue, slot),
    FOREIGN KEY (app, queue) REFERENCES queues (app, name)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The runs of one task in one queue that wait, or of one task without a queue. Empty lanes have no row.
-- Those without a queue are not counted here, or every new run of a task would wait for the one before it to commit:
-- `ready` stays 1, and a claim that finds such a lane empty deletes it.
CREATE TABLE lanes (
    app text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    ready bigint NOT NULL CHECK (ready >= 0),  -- runs that may be claimed
    later bigint NOT NULL CHECK (later >= 0),  -- runs that are not due yet
    open boolean NOT NULL,  -- the next run of its queue is in it, and may start
    loadable boolean NOT NULL,  -- its task is announced
    turn bigint NOT NULL,  -- the lowest goes first
    PRIMARY KEY (app, queue, task)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);

CREATE INDEX lanes_claimable ON lanes (app, task, turn, queue) WHERE ready > 0 AND open AND loadable;
CREATE INDEX lanes_by_task ON lanes (app, task, loadable, queue);

-- Whose turn it is: a number that only grows.
CREATE SEQUENCE turns;

-- A node as it introduced itself, and what others see of it.
CREATE TABLE nodes (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    lease_s double precision NOT NULL,
    capacity integer NOT NULL,
    memory_bytes bigint NOT NULL,
    version text NOT NULL,
    sandbox text NOT NULL,
    beat bigint NOT NULL DEFAULT 1,
    draining boolean NOT NULL DEFAULT FALSE,
    buried boolean NOT NULL DEFAULT FALSE,
    started_at bigint NOT NULL,
    last_seen bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE announced (
    app text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    PRIMARY KEY (app, task, node)
);

-- Runs by status: of each task for runs without a queue, of '' for all others. Each connection adds to a share of its
-- own, so that none waits for another's commit; the sum counts.
CREATE TABLE totals (
    app text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    share integer NOT NULL,
    runs bigint NOT NULL,
    PRIMARY KEY (app, task, status, share)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE schedules (
    app text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    rule text NOT NULL,
    next_at bigint,
    last_at bigint,
    last_run text,
    declared_at bigint NOT NULL,  -- when a node last told that its tasks declare it
    PRIMARY KEY (app, name)
);

CREATE TABLE tokens (
    digest bytea PRIMARY KEY,
    app text COLLATE "C" NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE logs (
    app text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    last_number bigint NOT NULL,
    last_at bigint NOT NULL,
    last_batch text NOT NULL,  -- so that a repeated call adds nothing
    PRIMARY KEY (app, run)
) WITH (fillfactor = 80);

CREATE INDEX logs_by_age ON logs (last_at);

CREATE TABLE log_lines (
    app text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    attempt integer NOT NULL,
    at bigint NOT NULL,
    stream text NOT NULL,
    level text,
    text bytea NOT NULL,  -- UTF-8; not of type text, which has no U+0000
    continuation boolean NOT NULL,  -- of the line before it, which was long or slow to end
    PRIMARY KEY (app, run, number)
);
