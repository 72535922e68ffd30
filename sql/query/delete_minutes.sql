DELETE FROM traffic_minutes WHERE minute < ?1
