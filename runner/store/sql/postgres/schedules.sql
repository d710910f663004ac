-- Schedules and tokens.

-- name: all_schedules
SELECT * FROM schedules WHERE $1::text IS NULL OR app = $1 ORDER BY app, name;

-- name: one_schedule
SELECT * FROM schedules WHERE app = $1 AND name = $2;

-- name: lock_schedules
LOCK TABLE schedules IN SHARE ROW EXCLUSIVE MODE;

-- name: put_schedules
-- Another rule takes the place only of one that nobody declared since, unless by a clock that was ahead.
INSERT INTO schedules (app, name, task, rule, next_at, declared_at)
SELECT app, name, task, rule, next_at, $6::bigint
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS declared (app, name, task, rule, next_at)
ON CONFLICT (app, name) DO UPDATE SET task = excluded.task, rule = excluded.rule, declared_at = excluded.declared_at,
    next_at = CASE WHEN schedules.rule = excluded.rule THEN schedules.next_at ELSE excluded.next_at END
WHERE schedules.rule = excluded.rule OR schedules.declared_at < $7::bigint OR schedules.declared_at > $8::bigint;

-- name: last_declared
SELECT max(declared_at) FROM schedules WHERE declared_at <= $1::bigint;

-- name: forget_undeclared
DELETE FROM schedules WHERE declared_at <= $1::bigint - $2::bigint AND declared_at < $3::bigint;

-- name: fire_schedule
-- Moves on only from the instant that the caller saw: whoever comes second changes nothing.
UPDATE schedules SET next_at = $4, last_at = $3, last_run = coalesce($5, last_run)
WHERE app = $1 AND name = $2 AND next_at = $3 RETURNING 1;

-- name: reschedule
UPDATE schedules SET next_at = $4 WHERE app = $1 AND name = $2 AND next_at = $3;

-- name: fired_so
SELECT runs.* FROM schedules JOIN runs ON runs.app = schedules.app AND runs.id = schedules.last_run
WHERE schedules.app = $1 AND schedules.name = $2 AND schedules.last_at = $3 AND schedules.last_run = $4;

-- name: put_token
INSERT INTO tokens (digest, app, name, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (digest) DO UPDATE SET app = excluded.app, name = excluded.name;

-- name: token_app
SELECT app FROM tokens WHERE digest = $1;
