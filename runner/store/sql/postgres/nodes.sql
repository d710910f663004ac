-- Clock, nodes, announcements, notices.

-- name: database_now
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

-- name: register_node
INSERT INTO nodes (id, name, lease_s, capacity, memory_bytes, version, sandbox, started_at, last_seen)
VALUES ($1, $2, $3, $4, $5, $6, $7, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT DO NOTHING;

-- name: renew_node
UPDATE nodes SET beat = beat + 1, last_seen = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
WHERE id = $1 AND NOT buried RETURNING 1;

-- name: all_nodes
SELECT nodes.*, (SELECT count(*) FROM attempts WHERE node = nodes.id AND finished_at IS NULL) AS running
FROM nodes ORDER BY name, started_at, id;

-- name: lock_node
-- A burial waits for the claims under way, and they for it; renewals pass both.
SELECT beat, buried, (SELECT count(*) FROM attempts WHERE node = nodes.id AND finished_at IS NULL) AS running
FROM nodes WHERE id = $1 FOR UPDATE;

-- name: bury_node
UPDATE nodes SET buried = TRUE WHERE id = $1;

-- name: delete_node
DELETE FROM nodes WHERE id = $1;

-- name: drain_nodes
-- It waits for the claims under way, and they for it: those that come after are refused.
WITH named AS (SELECT id FROM nodes WHERE $1 IN (name, id) AND NOT buried ORDER BY id FOR UPDATE)
UPDATE nodes SET draining = $2 FROM named WHERE nodes.id = named.id RETURNING nodes.id;

-- name: forget_buried
DELETE FROM nodes WHERE buried AND last_seen < $1
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE node = nodes.id AND finished_at IS NULL);

-- name: withdraw_tasks
DELETE FROM announced WHERE node = $1 AND (app, task) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]));

-- name: announce_tasks
INSERT INTO announced (app, task, node) SELECT app, task, $1 FROM unnest($2::text[], $3::text[]) AS needed (app, task)
ON CONFLICT DO NOTHING;

-- name: settle_announced
SELECT done, opened FROM settle_announced($1);

-- name: notify
-- It tells of what is committed, and need not outlive a power cut: it does not wait for the disk.
SELECT set_config('synchronous_commit', 'off', TRUE), pg_notify('isolane', payload) FROM unnest($1::text[]) AS payload;

-- name: sweep
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now, done, opened,
    EXISTS (SELECT 1 FROM attempts JOIN runs ON runs.seq = attempts.run
            WHERE attempts.node = $1 AND attempts.finished_at IS NULL AND runs.cancel_requested_at IS NOT NULL)
        AS cancelling
FROM settle_announced($2);

-- name: cancelling_of_node
SELECT runs.app, runs.id FROM attempts JOIN runs ON runs.seq = attempts.run
WHERE attempts.node = $1 AND attempts.finished_at IS NULL AND runs.cancel_requested_at IS NOT NULL;
