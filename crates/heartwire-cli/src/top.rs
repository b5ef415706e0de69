//! `heartwire top`: what a server does, and which of its sessions need a look, in a terminal.

mod app;
mod args;
mod keys;
mod picture;
mod screen;
mod terminal;
mod text;
mod watch;

use anyhow::Context;
use tokio::runtime;

use crate::exit::{Exit, Usage};
use crate::http_client::HttpClient;
use crate::output::print_text;
use crate::signals::Stop;

use app::App;
pub(crate) use args::{EXAMPLES, TopArgs};
use picture::Picture;

pub(crate) fn run(args: &TopArgs) -> anyhow::Result<Exit> {
    let token = args.http_token.as_deref().map(crate::connect::read_token_and_warn).transpose()?;
    let client = HttpClient::new(args.url.clone(), token, args.wait);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    if args.once || args.json {
        return runtime.block_on(print(args, client));
    }
    if !terminal::is_there() {
        return Err(Usage(
            "standard input or output is no terminal: --once prints one screen, and --json prints \
             objects for programs"
                .to_owned(),
        )
        .into());
    }
    runtime.block_on(watch::watch(args, client))
}

/// Prints pictures, for scripts.
async fn print(args: &TopArgs, mut client: HttpClient) -> anyhow::Result<Exit> {
    let mut stop = Stop::listen().context("cannot listen for signals")?;
    let mut ticks = tokio::time::interval(args.delay);
    let mut app = App::new(args);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.signal() => return Ok(Exit::Success),
        }
        let asked = app.asked();
        let picture = tokio::select! {
            picture = Picture::take(&mut client, &args.url, &asked) => picture,
            () = stop.signal() => return Ok(Exit::Success),
        };
        match picture {
            Ok(picture) if args.json => print_text(picture.to_json())?,
            Ok(picture) => {
                app.show(Ok(picture));
                print_text(screen::as_text(&mut app, terminal::width()))?;
            }
            // It may come back, and until then a stream has an object for each look.
            Err(error) if args.json && !args.once => print_text(picture::error_to_json(&error))?,
            Err(error) => return Err(error.into()),
        }
        if args.once {
            return Ok(Exit::Success);
        }
    }
}

#[cfg(test)]
mod tests;
