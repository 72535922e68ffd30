SELECT
    session_id, user, start_time, end_time, duration_secs, source_ip, source_port, dest_ip,
    dest_port, protocol, bytes_sent, bytes_received, packets_sent, packets_received, status,
    close_reason, acl_rule_matched, acl_decision, duration_ms, resolved_ip, command, close_code,
    rule_id, policy_generation, node, auth_us, resolve_us, connect_us, first_byte_us,
    client_rtt_us, upstream_rtt_us, client_retransmits, upstream_retransmits, claimed_user
FROM sessions WHERE rowid = ?1
