-- Schedules and tokens.

-- name: all_schedules
SELECT * FROM schedules WHERE $1::text IS NULL OR app = $1 ORDER BY app, name;

-- name: lock_schedules
LOCK TABLE schedules IN SHARE ROW EXCLUSIVE MODE;

-- name: put_schedule
INSERT INTO schedules (app, name, task, rule, next_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (app, name) DO UPDATE SET task = excluded.task, rule = excluded.rule,
    next_at = CASE WHEN schedules.rule = excluded.rule THEN schedules.next_at ELSE excluded.next_at END;

-- name: delete_schedules_but
DELETE FROM schedules WHERE (app, name) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: fire_schedule
-- Moves on only from the instant that the caller saw: whoever comes second changes nothing.
UPDATE schedules SET next_at = $4, last_at = $3, last_run = coalesce($5, last_run)
WHERE app = $1 AND name = $2 AND next_at = $3 AND paused_at IS NULL RETURNING 1;

-- name: fired_so
SELECT runs.* FROM schedules JOIN runs ON runs.app = schedules.app AND runs.id = schedules.last_run
WHERE schedules.app = $1 AND schedules.name = $2 AND schedules.last_at = $3 AND schedules.last_run = $4;

-- name: put_token
INSERT INTO tokens (digest, app, name, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (digest) DO UPDATE SET app = excluded.app, name = excluded.name;

-- name: token_app
SELECT app FROM tokens WHERE digest = $1;
