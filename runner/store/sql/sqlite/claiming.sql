-- What `now` makes due, and handing out runs.

-- name: expire_runs
UPDATE runs SET status = 'expired', ready = NULL, finished_at = :now, why = 'it was not started before it expired'
WHERE seq IN (
    SELECT seq FROM runs INDEXED BY runs_expiring
    WHERE expires_at <= :now AND ready IS NOT NULL AND started_at IS NULL ORDER BY expires_at LIMIT :limit
)
RETURNING *;

-- name: ripen_runs
UPDATE runs SET ready = 1, status = CASE status WHEN 'scheduled' THEN 'queued' ELSE status END
WHERE seq IN (
    SELECT seq FROM runs INDEXED BY runs_due WHERE ready = 0 AND due_at <= :now ORDER BY due_at LIMIT :limit
)
RETURNING app, queue;

-- name: reopen_queues
UPDATE queues SET opens_at = NULL
WHERE (app, name) IN (
    SELECT app, name FROM queues INDEXED BY queues_opening WHERE opens_at <= :now ORDER BY opens_at LIMIT :limit
)
RETURNING app, name;

-- name: next_instant
SELECT min(at) FROM (
    SELECT min(due_at) AS at FROM runs INDEXED BY runs_due WHERE ready = 0
    UNION ALL
    SELECT min(expires_at) FROM runs INDEXED BY runs_expiring
    WHERE expires_at IS NOT NULL AND ready IS NOT NULL AND started_at IS NULL
    UNION ALL
    SELECT min(opens_at) FROM queues INDEXED BY queues_opening WHERE opens_at IS NOT NULL
);

-- name: open_queues_anew
-- Those that a clock that was ahead keeps shut for longer than their rate does.
UPDATE queues SET opens_at = :now + interval_us WHERE opens_at > :now AND opens_at > :now + interval_us;

-- name: begin_backoffs_anew
-- Of runs whose last attempt ended later than it is now, by a clock that was ahead; once they wait from now on, their
-- retry is due before that end.
UPDATE runs SET due_at = due_at - (SELECT max(finished_at) FROM attempts WHERE run = runs.seq) + :now
WHERE (app, status) IN (SELECT app, status FROM totals WHERE status = 'retrying' AND runs > 0) AND ready = 0
    AND (SELECT max(finished_at) FROM attempts WHERE run = runs.seq) BETWEEN :now + 1 AND due_at;

-- name: begin_delays_anew
-- Of runs that a clock that was ahead lets wait, or live, for longer than was asked.
UPDATE runs SET due_at = :now + delay_us, expires_at = expires_at - due_at + :now + delay_us
WHERE seq IN (
    SELECT seq FROM runs INDEXED BY runs_due WHERE ready = 0 AND due_at > :now
    UNION
    SELECT seq FROM runs INDEXED BY runs_expiring
    WHERE expires_at > :now AND ready IS NOT NULL AND started_at IS NULL
) AND started_at IS NULL AND due_at > :now + delay_us;

-- name: next_task_head
-- The lane whose turn it is, of the first task after the given one: tasks are stepped through, lanes are not.
-- (Not with `(app, task) > (?, ?)`: SQLite would look at every lane of the given task.)
SELECT app, task, turn, queue FROM lanes INDEXED BY lanes_claimable
WHERE ready > 0 AND open = 1 AND loadable = 1 AND app = ? AND task > ? ORDER BY app, task, turn, queue LIMIT 1;

-- name: next_app_head
SELECT app, task, turn, queue FROM lanes INDEXED BY lanes_claimable
WHERE ready > 0 AND open = 1 AND loadable = 1 AND app > ? ORDER BY app, task, turn, queue LIMIT 1;

-- name: task_head
SELECT turn, queue FROM lanes INDEXED BY lanes_claimable
WHERE ready > 0 AND open = 1 AND loadable = 1 AND app = ? AND task = ? ORDER BY turn, queue LIMIT 1;

-- name: best_run
SELECT seq FROM runs INDEXED BY runs_waiting
WHERE app = ? AND queue = ? AND task = ? AND ready = 1 ORDER BY priority DESC, seq LIMIT 1;

-- name: taken_slots
SELECT slot FROM holders WHERE app = ? AND queue = ?;

-- name: take_slot
INSERT INTO holders (app, queue, slot, run, since) VALUES (?, ?, ?, ?, ?);

-- name: start_run
UPDATE runs SET status = 'running', ready = NULL, attempt_count = attempt_count + 1,
    started_at = coalesce(started_at, :now)
WHERE seq = :run RETURNING *;

-- name: insert_attempt
INSERT INTO attempts (run, number, token, node, started_at) VALUES (?, ?, ?, ?, ?) RETURNING fence;

-- name: parameters_of
SELECT parameters FROM run_parameters WHERE run = ?;

-- name: shut_by_rate
UPDATE queues SET opens_at = :now + interval_us WHERE app = :app AND name = :name AND interval_us > 0;

-- name: queue_had_its_turn
UPDATE lanes SET turn = (SELECT turn FROM clock) WHERE app = ? AND queue = ?;

-- name: task_had_its_turn
UPDATE lanes SET turn = (SELECT turn FROM clock) WHERE app = ? AND queue = '' AND task = ?;

-- name: open_attempts
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts INDEXED BY attempts_open JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL AND (:node IS NULL OR attempts.node = :node) ORDER BY attempts.fence;
