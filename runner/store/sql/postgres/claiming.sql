-- Handing out runs.

-- name: ripen
SELECT * FROM ripen($1, $2);

-- name: claim
SELECT * FROM claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, TRUE);

-- name: started
SELECT started($1);

-- name: open_attempts
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL ORDER BY attempts.fence;

-- name: open_attempts_of_node
SELECT runs.*, attempts.fence AS fence, attempts.number AS number, attempts.token AS token
FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL AND attempts.node = $1 ORDER BY attempts.fence;

-- name: open_queues_anew
-- Those that a clock that was ahead keeps shut for longer than their rate does.
UPDATE queues SET opens_at = $1::bigint + interval_us
WHERE (app, name) IN (
    SELECT app, name FROM queues
    WHERE opens_at > $1::bigint AND opens_at > $1::bigint + interval_us ORDER BY app, name FOR UPDATE
);

-- name: begin_backoffs_anew
-- Of runs whose last attempt ended later than it is now, by a clock that was ahead; once they wait from now on, their
-- retry is due before that end.
UPDATE runs SET due_at = due_at - ended.at + $1::bigint
FROM (
    SELECT waiting.seq, (SELECT max(finished_at) FROM attempts WHERE run = waiting.seq) AS at
    FROM runs AS waiting WHERE waiting.status = 'retrying' AND waiting.ready = 0
        AND waiting.app IN (SELECT app FROM totals WHERE status = 'retrying' GROUP BY app HAVING sum(runs) > 0)
    ORDER BY waiting.seq FOR UPDATE
) AS ended
WHERE runs.seq = ended.seq AND ended.at BETWEEN $1::bigint + 1 AND runs.due_at;

-- name: begin_delays_anew
-- Of runs that a clock that was ahead lets wait, or live, for longer than was asked.
UPDATE runs SET due_at = $1::bigint + delay_us, expires_at = expires_at - due_at + $1::bigint + delay_us
WHERE seq IN (
    SELECT seq FROM runs
    WHERE started_at IS NULL AND due_at > $1::bigint + delay_us AND (
        ready = 0 AND due_at > $1::bigint
        OR expires_at IS NOT NULL AND expires_at > $1::bigint AND ready IS NOT NULL AND started_at IS NULL
    )
    ORDER BY seq FOR UPDATE
);
