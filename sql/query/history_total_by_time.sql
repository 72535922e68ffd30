-- Live sessions are few: they are counted away by the index on status.
SELECT
    (
        SELECT count(*) FROM sessions INDEXED BY idx_sessions_start_time
        WHERE start_time >= ?1 AND start_time < ?2
    )
    - (
        SELECT count(*) FROM sessions INDEXED BY idx_sessions_status
        WHERE status = 'active' AND start_time >= ?1 AND start_time < ?2
    )
