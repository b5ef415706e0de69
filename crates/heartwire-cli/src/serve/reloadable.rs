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

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory};

    use super::*;
    use crate::args::Cli;

    #[test]
    fn what_can_change_is_an_option() {
        let mut command = Cli::command();
        command.build();
        let serve = command.find_subcommand("serve").unwrap();
        let options: Vec<_> = serve.get_arguments().filter_map(Arg::get_long).collect();
        for option in RELOADABLE {
            assert!(options.contains(option), "there is no --{option}");
        }
    }
}
