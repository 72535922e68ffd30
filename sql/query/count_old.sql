SELECT count(*) FROM sessions WHERE start_time < ?1 AND status <> 'active'
