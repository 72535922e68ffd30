SELECT minute, active, started, rejected, bytes_sent, bytes_received FROM traffic_minutes
WHERE minute >= ?1 AND minute < ?2 ORDER BY minute LIMIT ?3
