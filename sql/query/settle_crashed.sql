-- What a predecessor left alive was cut with it. When, is known no better than by its last figures.
UPDATE sessions
SET status = 'failed', close_code = ?1, close_reason = ?2
WHERE status = 'active'
