SELECT rowid, start_time, user, source_ip, dest_ip, dest_port, status, close_code
FROM sessions INDEXED BY idx_sessions_status
WHERE status = ?3 AND rowid > ?1 AND rowid < ?2
ORDER BY rowid ASC
