-- Version 17: an attempt keeps what its task raised, of the newest hundred.

ALTER TABLE attempts ADD COLUMN error text;

-- As of version 12, and the attempt keeps its error.
CREATE OR REPLACE FUNCTION finish(
    p_app text, p_id text, p_number integer, p_token text, p_status text, p_failures integer, p_losses integer,
    p_due_at bigint, p_finished_at bigint, p_reason text, p_why text, p_result text, p_error text, p_exit_code integer,
    p_signal integer, p_peak_memory_bytes bigint, p_cpu_time_s double precision, p_sandbox text, p_code text
) RETURNS SETOF runs LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
