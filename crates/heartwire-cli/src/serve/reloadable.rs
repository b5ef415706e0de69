//! Which options can change while a server runs.

/// Options that SIGHUP takes over: `tokens` and the TLS files only if there were some at the start.
const RELOADABLE: &[&str] = &[
    "accept-rate",
    "accept-rate-per-address",
    "drain",
    "log-level",
    "max-pending",
    "max-per-address",
    "max-sessions",
    "quiet",
    "tls-cert",
    "tls-client-ca",
    "tls-key",
    "tokens",
    "verbose",
];

/// Whether a server takes over the option without a restart.
pub(crate) fn is_reloadable(option: &str) -> bool {
    RELOADABLE.contains(&option)
}
