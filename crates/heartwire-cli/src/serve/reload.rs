//! What `serve` takes over on SIGHUP.

use std::sync::Arc;

use heartwire::server::Handle;
use heartwire::server::auth::Tokens;
use heartwire::tls::SharedServerTls;

use super::http::{self, Observer};
use super::presence::Secret;
use super::{Prepared, ServeArgs, admission};
use crate::args::Command;
use crate::output::inform;
use crate::reload::{Kept, Live, Reload, tell_tokens};

/// A running server.
pub(crate) struct Running {
    pub(super) tokens: Option<Tokens>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) server: Handle,
    pub(super) http: Option<Observer>,
    pub(super) hook_secret: Option<Secret>,
    pub(super) live: Arc<Live>,
}

impl Reload for Running {
    type Checked = (ServeArgs, Prepared, Option<http::Token>);

    const RELOADABLE: &'static [&'static str] = &[
        "accept-rate",
        "accept-rate-per-address",
        "drain",
        "hook-secret-file",
        "http-token",
        "log-level",
        "max-pending",
        "max-per-address",
        "max-sessions",
        "quiet",
        "tls-cert",
        "tls-client-ca",
        "tls-client-crl",
        "tls-key",
        "tls-ticket-keys",
        "tokens",
        "verbose",
    ];

    fn check(&self, command: Command) -> anyhow::Result<Option<Self::Checked>> {
        let Command::Serve(args) = command else { return Ok(None) };
        let prepared = Prepared::new(&args, Vec::new())?;
        http::check(&args.http)?;
        let http_token = http::Token::of(&args.http)?;
        Ok(Some((args, prepared, http_token)))
    }

    fn take(&mut self, (args, prepared, http_token): Self::Checked) -> Kept {
        let Prepared { tokens, tls, presence, .. } = prepared;
        let hook_secret = presence.and_then(|presence| presence.secret);
        if let (Some(current), Some(new), Some(path)) = (&self.tokens, &tokens, &args.tokens) {
            current.replace(new);
            tell_tokens(path);
        }
        if let (Some(current), Some(new)) = (&self.tls, &tls) {
            current.replace(new);
            inform("read the certificates again");
        }
        if let (Some(current), Some(new)) = (&self.hook_secret, &hook_secret) {
            current.replace(new);
            inform("read the secret of the hook again");
        }
        self.server.set_admission(admission(&args.limits));
        self.live.set_drain(args.drain);
        let has_http_token = http_token.is_some();
        let mut keeps_http_token = !has_http_token;
        if let Some(http) = &self.http {
            http.set_drain(args.drain);
            keeps_http_token = http.replace_token(http_token);
            if keeps_http_token && has_http_token {
                inform("read the token of HTTP again");
            }
        }
        Kept {
            tokens: self.tokens.is_some() == tokens.is_some(),
            tls: self.tls.is_some() == tls.is_some(),
            http_token: keeps_http_token,
            hook_secret: self.hook_secret.is_some() == hook_secret.is_some(),
            has_files: tokens.is_some() || tls.is_some() || has_http_token || hook_secret.is_some(),
        }
    }
}
