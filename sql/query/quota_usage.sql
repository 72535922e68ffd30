-- Once, at the start: a month is the longest period.
SELECT subject, period_start, octets
FROM quota_usage
WHERE period_start >= ?1
