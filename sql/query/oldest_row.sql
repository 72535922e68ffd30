SELECT start_time FROM sessions ORDER BY start_time LIMIT 1
