SELECT max(policy_generation)
FROM (SELECT policy_generation FROM sessions ORDER BY rowid DESC LIMIT 1000)
