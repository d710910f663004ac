-- How runs end.

-- A run that retries in strict order keeps its slot.
CREATE FUNCTION free_slot(p_app text, p_queue text, p_run bigint, p_status text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM holders WHERE run = p_run AND NOT (
        p_status = 'retrying' AND (SELECT strict FROM queues WHERE app = p_app AND name = p_queue)
    );
END $$;

-- End an attempt and its run as the verdict says; no row where the claim has ended already.
CREATE FUNCTION finish(
    p_app text, p_id text, p_number integer, p_token text, p_status text, p_failures integer, p_losses integer,
    p_due_at bigint, p_result text, p_finished_at bigint, p_reason text, p_why text, p_error text, p_exit_code integer,
    p_signal integer, p_peak_memory_bytes bigint, p_cpu_time_s double precision, p_sandbox text, p_code text
) RETURNS SETOF runs
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ended runs%ROWTYPE;
    is_final boolean;
BEGIN
    SELECT * INTO ended FROM runs WHERE app = p_app AND id = p_id;
    IF ended.queue <> '' THEN
        PERFORM 1 FROM queues WHERE app = p_app AND name = ended.queue FOR UPDATE;
    END IF;
    SELECT * INTO ended FROM runs WHERE app = p_app AND id = p_id FOR UPDATE;
    UPDATE attempts SET finished_at = p_finished_at, reason = p_reason, why = p_why, error = p_error,
        exit_code = p_exit_code, signal = p_signal, peak_memory_bytes = p_peak_memory_bytes,
        cpu_time_s = p_cpu_time_s, sandbox = p_sandbox, code = p_code
    WHERE run = ended.seq AND number = p_number AND token = p_token AND finished_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF p_error IS NOT NULL AND p_number > 100 THEN
        UPDATE attempts SET error = NULL WHERE run = ended.seq AND number = p_number - 100;
    END IF;
    IF ended.cancel_requested_at IS NOT NULL AND p_status IN ('scheduled', 'queued', 'retrying', 'waiting') THEN
        p_status := 'cancelled';  -- asked for while the verdict was on its way
    END IF;
    is_final := p_status IN ('succeeded', 'failed', 'cancelled');
    IF p_result IS NOT NULL OR p_error IS NOT NULL THEN
        INSERT INTO run_responses (run, result, error) VALUES (ended.seq, p_result, p_error)
        ON CONFLICT (run) DO UPDATE SET result = excluded.result, error = excluded.error;
    ELSE
        UPDATE run_responses SET result = NULL, error = NULL WHERE run = ended.seq AND error IS NOT NULL;
    END IF;
    RETURN QUERY UPDATE runs SET status = p_status, reason = p_reason, why = p_why, failures = p_failures,
        losses = p_losses,
        ready = CASE WHEN is_final THEN NULL
            WHEN p_status = 'queued' OR coalesce(p_due_at <= p_finished_at, TRUE) THEN 1 ELSE 0 END,
        first_due_at = CASE WHEN is_final OR p_due_at IS NULL THEN first_due_at ELSE coalesce(first_due_at, due_at) END,
        due_at = CASE WHEN is_final THEN due_at ELSE coalesce(p_due_at, due_at) END,
        finished_at = CASE WHEN is_final THEN p_finished_at END
    WHERE seq = ended.seq RETURNING *;
    IF ended.queue <> '' THEN
        PERFORM free_slot(p_app, ended.queue, ended.seq, p_status);
        PERFORM refresh(p_app, ended.queue);
    END IF;
END $$;

-- `finish`, then `claim`, in one commit; no row where the attempt has ended already. Nobody is waited for, since the
-- queue of the run that ended is locked.
CREATE FUNCTION finish_and_claim(
    p_run_app text, p_id text, p_number integer, p_token text, p_status text, p_failures integer, p_losses integer,
    p_due_at bigint, p_result text, p_finished_at bigint, p_reason text, p_why text, p_error text, p_exit_code integer,
    p_signal integer, p_peak_memory_bytes bigint, p_cpu_time_s double precision, p_sandbox text, p_code text,
    p_node text, p_now bigint, p_tokens text[], p_app text[], p_task text[], p_need bigint[],
    p_file integer[], p_served bigint[], p_free bigint, p_passes boolean
) RETURNS TABLE (ended runs, outcome text, claims json, waiting json, is_busy boolean, instant bigint)
LANGUAGE plpgsql SET jit = off SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    SELECT * INTO ended FROM finish(
        p_run_app, p_id, p_number, p_token, p_status, p_failures, p_losses, p_due_at, p_result, p_finished_at, p_reason,
        p_why, p_error, p_exit_code, p_signal, p_peak_memory_bytes, p_cpu_time_s, p_sandbox, p_code
    );
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT asked.outcome, asked.claims, asked.waiting, asked.is_busy, asked.instant
    INTO outcome, claims, waiting, is_busy, instant
    FROM claim(p_node, p_now, p_tokens, p_app, p_task, p_need, p_file, p_served, p_free, p_passes, TRUE, FALSE) AS asked;
    RETURN NEXT;
END $$;

-- Cancel a run that waits, ask one that runs to end (unless `p_waiting_only`), leave a final one; the run as it is then.
CREATE FUNCTION cancel(p_app text, p_id text, p_now bigint, p_why text, p_waiting_only boolean) RETURNS SETOF runs
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE found runs%ROWTYPE;
BEGIN
    SELECT * INTO found FROM runs WHERE app = p_app AND id = p_id;
    IF found.queue <> '' THEN
        PERFORM 1 FROM queues WHERE app = p_app AND name = found.queue FOR UPDATE;
    END IF;
    SELECT * INTO found FROM runs WHERE app = p_app AND id = p_id FOR UPDATE;
    IF found.ready IS NOT NULL THEN
        RETURN QUERY UPDATE runs SET status = 'cancelled', ready = NULL, why = p_why || found.status, finished_at = p_now,
            cancel_requested_at = p_now
        WHERE seq = found.seq RETURNING *;
        PERFORM free_slot(p_app, found.queue, found.seq, 'cancelled');
        PERFORM refresh(p_app, found.queue);
    ELSIF found.status = 'running' AND found.cancel_requested_at IS NULL AND NOT p_waiting_only THEN
        RETURN QUERY UPDATE runs SET cancel_requested_at = p_now WHERE seq = found.seq RETURNING *;
    ELSIF found.seq IS NOT NULL THEN
        RETURN NEXT found;
    END IF;
END $$;

-- Cancel up to `p_limit` runs of the queue that wait and are not younger than `p_newest`.
CREATE FUNCTION purge(p_app text, p_queue text, p_now bigint, p_newest bigint, p_limit integer) RETURNS SETOF runs
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    PERFORM 1 FROM queues WHERE app = p_app AND name = p_queue FOR UPDATE;
    RETURN QUERY UPDATE runs SET status = 'cancelled', ready = NULL, why = 'its queue was purged while it waited',
        finished_at = p_now, cancel_requested_at = p_now
    WHERE seq IN (
        SELECT seq FROM runs WHERE app = p_app AND queue = p_queue AND ready IS NOT NULL AND seq <= p_newest
        LIMIT p_limit
    )
    RETURNING *;
    DELETE FROM holders USING runs
    WHERE holders.app = p_app AND holders.queue = p_queue AND runs.seq = holders.run AND runs.finished_at IS NOT NULL;
    PERFORM refresh(p_app, p_queue);
END $$;
