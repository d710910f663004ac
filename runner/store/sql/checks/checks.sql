-- What must hold in every store, in words that every database knows. Each statement tells what does not, in sentences.

-- name: totals
SELECT 'app ' || app || ' counts ' || sum(stored) || ' runs as ' || status || ', and there are ' || sum(held) AS problem
FROM (
    SELECT app, status, count(*) AS held, 0 AS stored FROM runs GROUP BY app, status
    UNION ALL
    SELECT app, status, 0, runs FROM totals
) AS both_counts
GROUP BY app, status HAVING sum(stored) <> sum(held) LIMIT 20;

-- name: lanes_of_queues
SELECT 'queue ' || queue || ' of app ' || app || ' counts ' || sum(ready) || ' ready and ' || sum(later)
    || ' later runs of task ' || task || ', and there are ' || sum(is_ready) || ' and ' || sum(is_later) AS problem
FROM (
    SELECT app, queue, task, ready AS is_ready, 1 - ready AS is_later, 0 AS ready, 0 AS later
    FROM runs WHERE queue <> '' AND ready IS NOT NULL
    UNION ALL
    SELECT app, queue, task, 0, 0, ready, later FROM lanes WHERE queue <> ''
) AS both_counts
GROUP BY app, queue, task HAVING sum(ready) <> sum(is_ready) OR sum(later) <> sum(is_later) LIMIT 20;

-- name: lanes_of_tasks
SELECT DISTINCT 'task ' || task || ' of app ' || app || ' has runs that are ready, and no lane to claim them from' AS problem
FROM runs WHERE queue = '' AND ready = 1 AND NOT EXISTS (
    SELECT 1 FROM lanes WHERE lanes.app = runs.app AND lanes.queue = '' AND lanes.task = runs.task AND lanes.ready > 0
)
LIMIT 20;

-- name: open_lanes
SELECT 'queue ' || queue || ' of app ' || app || ' has ' || count(*) || ' lanes open at once' AS problem
FROM lanes WHERE queue <> '' AND open GROUP BY app, queue HAVING count(*) > 1 LIMIT 20;

-- name: queues_of_lanes
SELECT DISTINCT 'queue ' || queue || ' of app ' || app || ' has runs that wait, and no row' AS problem
FROM lanes WHERE queue <> '' AND NOT EXISTS (SELECT 1 FROM queues WHERE queues.app = lanes.app AND name = queue) LIMIT 20;

-- name: runs_without_slot
SELECT 'run ' || id || ' runs in queue ' || queue || ' without holding a slot of it' AS problem
FROM runs WHERE status = 'running' AND queue <> '' AND NOT EXISTS (SELECT 1 FROM holders WHERE run = seq) LIMIT 20;

-- name: slots_without_run
SELECT 'queue ' || holders.queue || ' of app ' || holders.app || ' is held by run '
    || coalesce(runs.id, 'number ' || holders.run) || ', which is ' || coalesce(runs.status, 'gone') AS problem
FROM holders LEFT JOIN runs ON runs.seq = holders.run
WHERE runs.seq IS NULL OR runs.status NOT IN ('running', 'retrying') LIMIT 20;

-- name: running_without_attempt
SELECT 'run ' || id || ' is running without an attempt that has not ended' AS problem
FROM runs WHERE status = 'running'
    AND NOT EXISTS (SELECT 1 FROM attempts WHERE run = seq AND attempts.finished_at IS NULL) LIMIT 20;

-- name: attempt_without_running
SELECT 'attempt ' || number || ' of run ' || coalesce(runs.id, 'number ' || run) || ' has not ended, and the run is '
    || coalesce(runs.status, 'gone') AS problem
FROM attempts LEFT JOIN runs ON runs.seq = attempts.run
WHERE attempts.finished_at IS NULL AND (runs.seq IS NULL OR runs.status <> 'running') LIMIT 20;

-- name: attempts_counted
SELECT 'run ' || id || ' counts ' || attempt_count || ' attempts, and there are '
    || (SELECT count(*) FROM attempts WHERE run = seq) AS problem
FROM runs WHERE attempt_count <> (SELECT count(*) FROM attempts WHERE run = seq) LIMIT 20;

-- name: parameters
SELECT 'run ' || id || ' has lost its parameters' AS problem
FROM runs WHERE NOT EXISTS (SELECT 1 FROM run_parameters WHERE run = seq) LIMIT 20;
