-- Storing new runs.

-- name: advance_clock
UPDATE clock SET turn = turn + 1;

-- name: run_by_id
SELECT * FROM runs WHERE app = ? AND id = ?;

-- name: run_by_idempotency_key
SELECT * FROM runs WHERE app = :app AND task = :task AND idempotency_key = :idempotency_key;

-- name: insert_run
INSERT INTO runs (
    app, id, task, queue, status, ready, priority, tags, idempotency_key, parameters_digest, parent, replay_of, schedule,
    retry, timeout_s, created_at, due_at, expires_at
) VALUES (
    :app, :id, :task, :queue, :status, :ready, :priority, :tags, :idempotency_key, :parameters_digest, :parent, :replay_of,
    :schedule, :retry, :timeout_s, :created_at, :due_at, :expires_at
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
