//! Tips for names that other programs, or earlier versions of this one, give to options. clap alone
//! would name the option that is spelled most like it, which does another job.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Adds a tip to an error of this subcommand.
pub(crate) fn add(mut error: clap::Error, subcommand: &str) -> clap::Error {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(said)) => said.trim_start_matches('-').to_owned(),
        _ => String::new(),
    };
    let option = said(ContextKind::InvalidArg);
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others say enough")]
    let tip = match error.kind() {
        ErrorKind::UnknownArgument => for_option(subcommand, &option),
        ErrorKind::InvalidSubcommand => for_subcommand(&said(ContextKind::InvalidSubcommand)),
        ErrorKind::ArgumentConflict if option == "raw" => Some(RAW),
        _ => None,
    };
    if let Some(tip) = tip {
        let tip = StyledStr::from(tip);
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        // clap writes the usage for what it would have suggested.
        error.remove(ContextKind::Usage);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

const RAW: &str = "--raw sends bytes alone: no frames, and so no handshake, names or heartbeats";

fn for_subcommand(name: &str) -> Option<&'static str> {
    Some(match name {
        "server" | "listen" | "daemon" | "run" | "start" => "`heartwire serve` runs a server",
        "client" | "dial" | "join" | "send" => "`heartwire connect HOST:PORT` runs a client",
        "predict" | "check" | "simulate" => "`heartwire plan` predicts when faults are detected",
        _ => return None,
    })
}

fn for_option(subcommand: &str, option: &str) -> Option<&'static str> {
    let own = match subcommand {
        "serve" => for_serve(option).or_else(|| for_session(option)),
        "connect" => for_connect(option).or_else(|| for_session(option)),
        "plan" => for_plan(option),
        _ => None,
    };
    let of_heartbeats = || match subcommand {
        "serve" | "connect" | "plan" => for_heartbeats(option),
        _ => None,
    };
    own.or_else(of_heartbeats).or_else(|| for_any(option))
}

fn for_serve(option: &str) -> Option<&'static str> {
    Some(match option {
        "port" | "p" | "host" | "H" | "bind" | "b" | "address" | "addr" => {
            "--listen takes a port, or an address and a port"
        }
        "sessions" | "connections" | "max-connections" | "max-clients" => {
            "--max-sessions limits how many clients there are at one time"
        }
        "pending" | "backlog" => "--max-pending limits connections that are not accepted yet",
        "per-address" | "max-per-ip" => "--max-per-address limits the sessions of an address",
        "arrivals" | "rate" | "rate-limit" => {
            "--accept-rate-per-address limits new connections per second"
        }
        "all-arrivals" => "--accept-rate limits new connections per second",
        "held-max" | "max-memory" => "--max-buffered limits what is held for all clients",
        "pending-held-max" => "--max-pending-buffered limits what is held for new clients",
        "first-frame" => "--handshake-timeout limits the time to the first frame",
        "frame-time" => "--frame-timeout limits the time of a frame",
        "workers" | "shards" | "jobs" | "j" => "--threads sets how many threads serve sessions",
        "token" | "token-file" | "password" | "auth" | "auth-token" | "secret" => {
            "--tokens names the file with the tokens of all clients"
        }
        "tls" | "ssl" => "--tls-cert and --tls-key switch TLS on",
        "ca" | "cacert" | "ca-cert" | "ca-file" | "cafile" | "tls-ca" | "tls-roots"
        | "client-ca" => "--tls-client-ca names the CAs that sign clients' certificates",
        "grace-period" | "shutdown-timeout" | "stop-timeout" => {
            "--drain sets how long a shutdown takes"
        }
        _ => return None,
    })
}

fn for_connect(option: &str) -> Option<&'static str> {
    Some(match option {
        "port" | "p" | "host" | "H" | "address" | "addr" | "server" | "target" | "url" => {
            "the server is an argument: heartwire connect HOST:PORT"
        }
        "id" | "client-id" | "client-name" | "user" | "username" | "u" => {
            "--name sets the client's name"
        }
        "token" | "tokens" | "password" | "auth" | "auth-token" | "secret" => {
            "--token-file names a file with the token; other users could read one typed here"
        }
        "ssl" => "--tls switches TLS on",
        "ca" | "cacert" | "ca-cert" | "ca-file" | "cafile" | "tls-roots" | "tls-client-ca" => {
            "--tls-ca names the CAs to trust"
        }
        "insecure" | "k" | "skip-verify" | "tls-insecure" | "no-verify" => {
            "--tls-ca server.pem trusts that one certificate; an unverified one is no protection"
        }
        "sni" | "servername" | "server-name" | "tls-name" => {
            "--tls-server-name sets the name that the certificate must have"
        }
        "path" | "ping" | "latency" => "--rtt prints the round trip",
        "check-in" => "--watchdog reports an input that is idle",
        "until-eof" => "connect exits when its input has ended, unless --stay is given",
        "while-disconnected" => "--offline says what to do with input without a connection",
        "reconnect" | "retries" | "retry-delay" | "reconnect-delay" => {
            "--retry sets how to wait before reconnecting"
        }
        "no-retry" | "no-reconnect" | "once" => "--retry never does not reconnect",
        "no-stdin" => "--no-input does not read standard input",
        _ => return None,
    })
}

/// Options of both `serve` and `connect`.
fn for_session(option: &str) -> Option<&'static str> {
    Some(match option {
        "queue-max" | "outbound-max" => "--max-queue limits what waits to be sent",
        "frame-max" | "max-payload" | "max-message-size" => "--max-frame limits a frame's body",
        "cert" | "crt" | "certificate" | "cert-file" | "certfile" | "tls-certificate" => {
            "--tls-cert names the file with the certificate"
        }
        "key" | "key-file" | "keyfile" | "private-key" => "--tls-key names the private key's file",
        "resume" | "no-resume" | "resume-timeout" | "session-timeout" | "session-expiry" => {
            "--grace sets how long a session outlives its connection, or that it does not"
        }
        "replay" | "replay-buffer" | "in-flight" | "max-inflight" => {
            "--window limits what is under way in a session"
        }
        "floor" => "--min-interval sets the shortest interval to agree to",
        "ceiling" => "--max-timeout sets the longest timeout to agree to",
        _ => return None,
    })
}

fn for_plan(option: &str) -> Option<&'static str> {
    Some(match option {
        "path" | "latency" | "ping" => "--rtt sets the round trip of the path",
        "nat" => "--nat-timeout sets how long a NAT remembers an idle connection",
        "tick" | "jitter" => "--timer-slack sets how late timers may fire",
        "target" | "goal" | "detect-within" => "--within sets the time to detect every fault in",
        _ => return None,
    })
}

fn for_heartbeats(option: &str) -> Option<&'static str> {
    Some(match option {
        "limit" | "idle-timeout" | "max-time" | "heartbeat-timeout" | "dead-after" => {
            "--timeout sets after how much silence the peer is dead"
        }
        "beat" | "heartbeat" | "heartbeat-interval" | "ping-interval" | "period" | "every"
        | "k" => "--interval sets how often to send a heartbeat",
        "keep-alive" => {
            "--interval sets how often to send a heartbeat, --keepalive is the kernel's"
        }
        "no-beat" | "no-heartbeat" => "--interval off sends no heartbeats",
        "no-limit" | "no-timeout" => "--timeout off never declares the peer dead",
        "peer-beat" => "--peer-interval sets how often the peer sends something",
        "wire" | "require" | "proto" => "--protocol sets the version of the protocol",
        "nodelay" | "no-nodelay" => "TCP_NODELAY is on unless --nagle is given",
        _ => return None,
    })
}

fn for_any(option: &str) -> Option<&'static str> {
    Some(match option {
        "log" | "loglevel" => "--log-level sets what to log",
        "debug" | "trace" => "--verbose logs more: -vv is debug, -vvv trace",
        "silent" => "--quiet logs errors only",
        "config" | "config-file" | "c" => {
            "here options come from the command line, or variables such as HEARTWIRE_LOG_LEVEL"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;
    use crate::args::Cli;

    /// The error for these arguments, with its tip. An option that does not exist is written
    /// without its dashes, so that a search for names that are gone does not find it here.
    fn error(args: &[&str]) -> String {
        let mut args: Vec<_> = args.iter().map(ToString::to_string).collect();
        if let [_, option, ..] = args.as_mut_slice()
            && !option.starts_with('-')
        {
            option.insert_str(0, "--");
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let words = ["heartwire"].iter().chain(&args);
        let error = Cli::command().try_get_matches_from(words).unwrap_err();
        add(error, args.first().copied().unwrap_or_default()).to_string()
    }

    /// The names of all tips: the words in quotation marks before an arrow of a `match`.
    fn names() -> impl Iterator<Item = &'static str> {
        let source = include_str!("tips.rs");
        let code = source.split("#[cfg(test)]").next().unwrap();
        code.split('"').skip(1).step_by(2).filter(|word| !word.contains(' '))
    }

    fn has(command: &Command, option: &str) -> bool {
        command.get_arguments().any(|arg| arg.get_long() == Some(option))
    }

    #[test]
    fn a_tip_names_options_that_exist_for_a_name_that_does_not() {
        let mut cli = Cli::command();
        cli.build();
        let mut tips = 0;
        for command in ["serve", "connect", "plan", "demo"] {
            let options = cli.find_subcommand(command).unwrap();
            for name in names() {
                let Some(tip) = for_option(command, name) else { continue };
                // A name that a command knows never gets there.
                if has(options, name) {
                    continue;
                }
                tips += 1;
                let words = tip.split([' ', ';', ':', ',']).filter_map(|w| w.strip_prefix("--"));
                for word in words {
                    assert!(has(options, word), "{command} --{name}: {tip}");
                }
            }
        }
        assert!(tips > 100, "{tips}");
    }

    #[test]
    fn names_that_newcomers_try_lead_to_the_right_option() {
        for (args, tip) in [
            (&["serve", "port", "5000"][..], "--listen takes a port"),
            (&["serve", "-p", "5000"], "--listen takes a port"),
            (&["serve", "host=0.0.0.0"], "--listen takes a port"),
            (&["serve", "limit", "30s"], "--timeout sets"),
            (&["serve", "max-connections", "9"], "--max-sessions limits"),
            (&["serve", "ca", "ca.pem"], "--tls-client-ca names"),
            (&["serve", "cert", "c.pem"], "--tls-cert names"),
            (&["serve", "no-beat"], "--interval off"),
            (&["plan", "config", "x"], "variables such as HEARTWIRE_LOG_LEVEL"),
            (&["connect", "port", "7", "localhost"], "heartwire connect HOST:PORT"),
            (&["connect", "ca=ca.pem", "localhost"], "--tls-ca names"),
            (&["connect", "token", "secret", "localhost"], "--token-file names"),
            (&["connect", "resume=1m", "localhost"], "--grace sets"),
            (&["connect", "beat", "3s", "localhost"], "--interval sets"),
            (&["connect", "path", "3s", "localhost"], "--rtt prints"),
            (&["connect", "log", "info", "localhost"], "--log-level sets"),
            (&["connect", "raw", "--name", "bob", "localhost"], "--raw sends bytes alone"),
            (&["plan", "path", "3s"], "--rtt sets"),
            (&["demo", "debug"], "-vv is debug"),
            (&["server"], "`heartwire serve`"),
            (&["client"], "`heartwire connect HOST:PORT`"),
        ] {
            let error = error(args);
            assert!(error.contains(tip), "{error}");
            assert_eq!(error.matches("tip:").count(), 1, "{error}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_keeps_the_tip_of_clap() {
        assert!(error(&["serve", "timeoout", "3s"]).contains("'--timeout'"));
        assert!(error(&["srve"]).contains("'serve'"));
    }
}
