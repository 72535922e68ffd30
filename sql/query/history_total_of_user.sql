-- Live sessions are few: they are counted away by the index on status.
SELECT
    (SELECT count(*) FROM sessions INDEXED BY idx_sessions_user WHERE user = ?1)
    - (
        SELECT count(*) FROM sessions INDEXED BY idx_sessions_status
        WHERE status = 'active' AND user = ?1
    )
