SELECT rowid, start_time, user, source_ip, dest_ip, dest_port, status, close_code
FROM sessions INDEXED BY idx_sessions_start_time
WHERE (start_time, rowid) > (?1, ?2) AND (start_time, rowid) < (?3, ?4)
ORDER BY start_time ASC, rowid ASC
