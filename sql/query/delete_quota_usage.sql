DELETE FROM quota_usage
WHERE (subject, period_start) IN (
    SELECT subject, period_start FROM quota_usage WHERE period_start < ?1 LIMIT ?2
)
