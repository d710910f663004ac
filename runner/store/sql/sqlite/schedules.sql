-- Schedules and tokens.

-- name: all_schedules
SELECT * FROM schedules WHERE :app IS NULL OR app = :app ORDER BY app, name;

-- name: one_schedule
SELECT * FROM schedules WHERE app = :app AND name = :name;

-- name: put_schedule
-- Another rule takes the place only of one that nobody declared since, unless by a clock that was ahead.
INSERT INTO schedules (app, name, task, rule, next_at, declared_at)
VALUES (:app, :name, :task, :rule, :next_at, :now)
ON CONFLICT (app, name) DO UPDATE SET task = excluded.task, rule = excluded.rule, declared_at = excluded.declared_at,
    next_at = CASE WHEN rule = excluded.rule THEN next_at ELSE excluded.next_at END
WHERE rule = excluded.rule OR declared_at < :since OR declared_at > :ahead;

-- name: last_declared
SELECT max(declared_at) FROM schedules WHERE declared_at <= :now;

-- name: forget_undeclared
DELETE FROM schedules WHERE declared_at <= :last - :forgotten AND declared_at < :now;

-- name: fire_schedule
-- Moves on only from the instant that the caller saw: whoever comes second changes nothing.
UPDATE schedules SET next_at = :next_at, last_at = :due_at, last_run = coalesce(:run, last_run)
WHERE app = :app AND name = :name AND next_at = :due_at
RETURNING 1;

-- name: reschedule
UPDATE schedules SET next_at = :next_at WHERE app = :app AND name = :name AND next_at = :seen;

-- name: put_token
INSERT INTO tokens (digest, app, name, created_at) VALUES (:digest, :app, :name, :now)
ON CONFLICT (digest) DO UPDATE SET app = excluded.app, name = excluded.name;

-- name: token_app
SELECT app FROM tokens WHERE digest = ?;
