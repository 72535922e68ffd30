SELECT status = 'active', bytes_sent, bytes_received
FROM sessions
WHERE session_id = ?1
