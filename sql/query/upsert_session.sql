-- A row that is finished stays as it is: a late checkpoint changes nothing.
INSERT INTO sessions (
    session_id, user, start_time, end_time, duration_secs, source_ip, source_port, dest_ip,
    dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status,
    close_reason, acl_rule_matched, acl_decision, duration_ms, resolved_ip, command, close_code,
    rule_id, policy_generation, node, auth_us, resolve_us, connect_us, first_byte_us,
    client_rtt_us, upstream_rtt_us, client_retransmits, upstream_retransmits, claimed_user
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34
)
ON CONFLICT(session_id) DO UPDATE SET
    end_time = excluded.end_time,
    duration_secs = excluded.duration_secs,
    bytes_sent = excluded.bytes_sent,
    bytes_received = excluded.bytes_received,
    packets_sent = excluded.packets_sent,
    packets_received = excluded.packets_received,
    status = excluded.status,
    close_reason = excluded.close_reason,
    acl_rule_matched = excluded.acl_rule_matched,
    acl_decision = excluded.acl_decision,
    duration_ms = excluded.duration_ms,
    resolved_ip = excluded.resolved_ip,
    close_code = excluded.close_code,
    rule_id = excluded.rule_id,
    policy_generation = excluded.policy_generation,
    auth_us = excluded.auth_us,
    resolve_us = excluded.resolve_us,
    connect_us = excluded.connect_us,
    first_byte_us = excluded.first_byte_us,
    client_rtt_us = excluded.client_rtt_us,
    upstream_rtt_us = excluded.upstream_rtt_us,
    client_retransmits = excluded.client_retransmits,
    upstream_retransmits = excluded.upstream_retransmits
WHERE sessions.status = 'active'
