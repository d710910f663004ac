-- How runs end, and what takes them out of the store.

-- name: open_attempt
SELECT runs.seq, runs.app, runs.queue, runs.cancel_requested_at, attempts.fence, attempts.token
FROM runs JOIN attempts ON attempts.run = runs.seq
WHERE runs.app = ? AND runs.id = ? AND attempts.number = ? AND attempts.finished_at IS NULL;

-- name: finished_so
-- The run, if its attempt was ended by a call like this before.
SELECT runs.*, attempts.token AS token FROM runs JOIN attempts ON attempts.run = runs.seq
WHERE runs.app = :app AND runs.id = :id AND attempts.number = :number
    AND attempts.finished_at = :finished_at AND attempts.reason = :reason AND attempts.why = :why;

-- name: end_attempt
UPDATE attempts SET finished_at = :finished_at, reason = :reason, why = :why, error = :error, exit_code = :exit_code,
    signal = :signal, peak_memory_bytes = :peak_memory_bytes, cpu_time_s = :cpu_time_s, sandbox = :sandbox, code = :code
WHERE fence = :fence;

-- name: forget_error
UPDATE attempts SET error = NULL WHERE run = ? AND number = ?;

-- name: leave_running
UPDATE runs SET status = :status, ready = :ready, reason = :reason, why = :why, failures = :failures, losses = :losses,
    first_due_at = CASE WHEN :due_at IS NULL THEN first_due_at ELSE coalesce(first_due_at, due_at) END,
    due_at = coalesce(:due_at, due_at), finished_at = :finished_at
WHERE seq = :run RETURNING *;

-- name: put_response
INSERT INTO run_responses (run, result, error) VALUES (?, ?, ?)
ON CONFLICT (run) DO UPDATE SET result = excluded.result, error = excluded.error;

-- name: clear_response
UPDATE run_responses SET result = NULL, error = NULL WHERE run = ? AND error IS NOT NULL;

-- name: put_progress
INSERT INTO run_responses (run, progress) VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET progress = excluded.progress;

-- name: free_slot
-- A run that retries in strict order keeps its slot.
DELETE FROM holders
WHERE run = :run AND NOT (
    :status = 'retrying' AND (SELECT strict FROM queues WHERE queues.app = holders.app AND queues.name = holders.queue)
);

-- name: request_cancel
UPDATE runs SET cancel_requested_at = ? WHERE seq = ? RETURNING *;

-- name: cancel_waiting
UPDATE runs SET status = 'cancelled', ready = NULL, why = :why, finished_at = :now, cancel_requested_at = :now
WHERE seq = :run RETURNING *;

-- name: newest_seq
SELECT max(seq) FROM runs;

-- name: purge_queue
UPDATE runs SET status = 'cancelled', ready = NULL, why = 'its queue was purged while it waited', finished_at = :now,
    cancel_requested_at = :now
WHERE seq IN (
    SELECT seq FROM runs INDEXED BY runs_waiting
    WHERE app = :app AND queue = :queue AND ready IS NOT NULL AND seq <= :newest LIMIT :limit
)
RETURNING *;

-- name: free_slots_of_ended
DELETE FROM holders
WHERE app = ? AND queue = ? AND (SELECT finished_at FROM runs WHERE seq = holders.run) IS NOT NULL;

-- name: delete_run
DELETE FROM runs WHERE seq = ?;

-- name: prune_runs
DELETE FROM runs WHERE seq IN (
    SELECT seq FROM runs INDEXED BY runs_finished WHERE finished_at < ? ORDER BY finished_at LIMIT ?
)
RETURNING app, id;
