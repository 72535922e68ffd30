INSERT INTO quota_usage (subject, period_start, octets)
VALUES (?1, ?2, ?3)
ON CONFLICT(subject, period_start) DO UPDATE SET octets = octets + excluded.octets
