-- Storing new runs.

-- name: advance_clock
UPDATE clock SET turn = turn + 1;

-- name: run_by_id
SELECT * FROM runs WHERE app = ? AND id = ?;

-- name: run_by_idempotency_key
SELECT * FROM runs
WHERE app = :app AND task = :task AND scheduled_by = :scheduled_by AND idempotency_key = :idempotency_key;

-- name: insert_run
INSERT INTO runs (
    app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of, schedule,
    retry, timeout_s, created_at, due_at, delay_us, expires_at, scheduled_by, root
) VALUES (
    :app, :id, :task, :queue, :status, :ready, :priority, :tags, :idempotency_key, :parameters_digest, :parent, :replay_of,
    :schedule, :retry, :timeout_s, :created_at, :due_at, :delay_us, :expires_at, :scheduled_by, :root
)
ON CONFLICT (app, id) DO NOTHING
RETURNING seq;

-- name: insert_parameters
INSERT INTO run_parameters (run, parameters) VALUES (?, ?);

-- name: count_children
UPDATE runs SET children = children + :more WHERE app = :app AND id = :parent RETURNING children;

-- name: waiting_in_app
SELECT total(runs) FROM totals WHERE app = ? AND status IN ('scheduled', 'queued', 'retrying', 'waiting');

-- name: waiting_in_queue
SELECT total(ready + later) FROM lanes WHERE app = ? AND queue = ?;

-- name: waiting_in_lane
SELECT ready + later FROM lanes WHERE app = ? AND queue = '' AND task = ?;

-- name: more_by_in_app
-- Whether more wait than a number that one task scheduled.
SELECT 1 FROM runs INDEXED BY runs_waiting_by
WHERE app = ? AND scheduled_by = ? AND ready IS NOT NULL AND scheduled_by <> '' LIMIT 1 OFFSET ?;

-- name: more_by_in_queue
SELECT 1 FROM runs INDEXED BY runs_waiting_by
WHERE app = ? AND scheduled_by = ? AND queue = ? AND ready IS NOT NULL AND scheduled_by <> '' LIMIT 1 OFFSET ?;

-- name: more_by_in_lane
SELECT 1 FROM runs INDEXED BY runs_waiting_by
WHERE app = ? AND scheduled_by = ? AND queue = '' AND task = ? AND ready IS NOT NULL AND scheduled_by <> '' LIMIT 1 OFFSET ?;
