SELECT count(*) FROM sessions WHERE status = ?1
