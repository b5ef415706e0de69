//! What the far end takes over on SIGHUP.

use std::sync::Arc;

use heartwire::server::Handle;
use heartwire::server::auth::Tokens;
use heartwire::tls::SharedServerTls;

use super::super::args::{ServeArgs, TunnelCommand};
use super::super::service::{Grants, Service};
use super::{Prepared, admission, prepare};
use crate::args::Command;
use crate::output::inform;
use crate::reload::{Kept, Live, Reload, tell_tokens};
use crate::systemd::Passed;

/// A running far end.
pub(crate) struct Running {
    /// Its services, which stay: tokens are for these.
    pub(super) services: Vec<Service>,
    pub(super) identity: Option<(Tokens, Grants)>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) server: Handle,
    pub(super) live: Arc<Live>,
}

impl Reload for Running {
    type Checked = (ServeArgs, Prepared);

    const RELOADABLE: &'static [&'static str] = &[
        "drain",
        "log-level",
        "max-connections",
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
        let Command::Tunnel(TunnelCommand::Serve(mut args)) = command else { return Ok(None) };
        args.service.clone_from(&self.services);
        let prepared = prepare(&args, Passed::default())?;
        Ok(Some((args, prepared)))
    }

    fn take(&mut self, (args, prepared): Self::Checked) -> Kept {
        let Prepared { tokens, grants, tls, .. } = prepared;
        let new = tokens.zip(grants);
        if let (Some((tokens, grants)), Some((new_tokens, new_grants)), Some(path)) =
            (&self.identity, &new, &args.tokens)
        {
            // First, so that no client with a new token has more than is granted.
            grants.replace(new_grants);
            tokens.replace(new_tokens);
            tell_tokens(path);
        }
        if let (Some(current), Some(new)) = (&self.tls, &tls) {
            current.replace(new);
            inform("read the certificates again");
        }
        self.server.set_admission(admission(&args));
        self.live.set_drain(args.outages.drain);
        Kept {
            tokens: self.identity.is_some() == new.is_some(),
            tls: self.tls.is_some() == tls.is_some(),
            http_token: true,
            hook_secret: true,
            has_files: new.is_some() || tls.is_some(),
        }
    }
}
