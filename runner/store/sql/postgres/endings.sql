-- How runs end, and what takes them out of the store.

-- name: finish
SELECT * FROM finish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: finish_and_claim
SELECT (done.ended).*, done.outcome, done.claims, done.waiting, done.is_busy, done.instant
FROM finish_and_claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                      $20, $21, $22, $23, $24, $25, $26, $27, $28, $29) AS done;

-- name: finished_so
-- The run, if its attempt was ended by exactly this call before.
SELECT runs.* FROM runs JOIN attempts ON attempts.run = runs.seq
WHERE runs.app = $1 AND runs.id = $2 AND attempts.number = $3 AND attempts.token = $4
    AND attempts.finished_at = $5 AND attempts.reason = $6 AND attempts.why = $7;

-- name: put_progress
INSERT INTO run_responses (run, progress)
SELECT runs.seq, $5 FROM runs JOIN attempts ON attempts.run = runs.seq
WHERE runs.app = $1 AND runs.id = $2 AND attempts.number = $3 AND attempts.token = $4 AND attempts.finished_at IS NULL
ON CONFLICT (run) DO UPDATE SET progress = excluded.progress;

-- name: cancel
SELECT * FROM cancel($1, $2, $3, $4, $5);

-- name: newest_seq
SELECT coalesce(max(seq), 0) FROM runs;

-- name: purge
SELECT * FROM purge($1, $2, $3, $4, $5);

-- name: delete_run
DELETE FROM runs WHERE seq = $1;

-- name: prune_runs
DELETE FROM runs WHERE seq IN (
    SELECT seq FROM runs WHERE finished_at < $1 AND finished_at IS NOT NULL
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
RETURNING app, id;
