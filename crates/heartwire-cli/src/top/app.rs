//! What is shown, and what the keys change in it.

use core::time::Duration;
use std::time::Instant;

use super::args::{MAX_DELAY, MIN_DELAY, Sort, TopArgs, View};
use super::picture::{Asked, Picture, Session, Stats};
use crate::http_client::HttpError;

/// The state of the program. Keys and pictures change it, and the screen is drawn from it.
#[derive(Debug)]
pub(super) struct App {
    /// Where the server is.
    pub(super) url: String,
    pub(super) view: View,
    pub(super) sort: Sort,
    pub(super) search: String,
    pub(super) delay: Duration,
    pub(super) is_paused: bool,
    /// Whether the server can be told anything.
    pub(super) has_token: bool,
    pub(super) mode: Mode,
    /// The session under the bar, counted through all that the picture has.
    pub(super) selected: usize,
    /// How many sessions fit on the screen, as it was last drawn.
    pub(super) page_len: usize,
    /// The last sessions of the pages before this one, in the order of ids.
    before: Vec<String>,
    pub(super) picture: Option<Picture>,
    /// The statistics of the picture before.
    pub(super) stats_before: Option<Stats>,
    /// Why there is no newer picture.
    pub(super) error: Option<HttpError>,
    /// What a key led to; the next one removes it.
    pub(super) notice: Option<String>,
    /// Whether rates may be those of the whole life of the server.
    pub(super) is_once: bool,
}

/// What keys are for at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Watch,
    Help,
    Search {
        /// What it was before.
        old: String,
    },
    Delay {
        typed: String,
    },
    Sort {
        /// The one under the bar.
        at: Sort,
    },
    Kick {
        session: String,
        name: Option<String>,
    },
}

/// Whether a client that is told to go may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    AtWill,
}

impl Retry {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::AtWill => "at_will",
        }
    }
}

impl App {
    pub(super) fn new(args: &TopArgs) -> Self {
        Self {
            url: args.url.to_string(),
            view: args.view,
            sort: args.sort,
            search: args.search.clone(),
            delay: args.delay,
            is_paused: false,
            has_token: args.http_token.is_some(),
            mode: Mode::Watch,
            selected: 0,
            page_len: 1,
            before: Vec::new(),
            picture: None,
            stats_before: None,
            error: None,
            notice: None,
            is_once: args.once,
        }
    }

    /// What the next picture is to show.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            view: self.view,
            sort: self.sort,
            search: self.search.clone(),
            after: self.before.last().cloned(),
        }
    }

    /// Takes a picture, or why there is none.
    pub(super) fn show(&mut self, picture: Result<Picture, HttpError>) {
        let picture = match picture {
            Ok(picture) => picture,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        self.error = None;
        // A page that a change of view or of order has overtaken.
        if picture.asked != self.asked() {
            return;
        }
        // Everything behind that page has ended.
        if picture.len() == 0 {
            self.before.pop();
        }
        let old = self.picture.replace(picture);
        self.stats_before = old.map(|old| old.stats);
        self.select(self.selected);
    }

    /// How old the picture is.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.picture.as_ref().map(|picture| now.saturating_duration_since(picture.at))
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.picture.as_ref()?.session(self.selected)
    }

    /// The page of the listing, from 1.
    pub(super) fn page(&self) -> usize {
        self.before.len().saturating_add(1)
    }

    pub(super) fn set_view(&mut self, view: View) {
        self.view = view;
        self.restart_listing();
    }

    pub(super) fn set_sort(&mut self, sort: Sort) {
        self.sort = sort;
        if self.view == View::Overview {
            self.view = View::Sessions;
        }
        self.restart_listing();
    }

    pub(super) fn restart_listing(&mut self) {
        self.selected = 0;
        self.before.clear();
    }

    pub(super) fn set_delay(&mut self, delay: Duration) {
        self.delay = delay.clamp(MIN_DELAY, MAX_DELAY);
    }

    pub(super) fn select(&mut self, at: usize) {
        let last = self.picture.as_ref().map_or(0, Picture::len).saturating_sub(1);
        self.selected = at.min(last);
    }

    /// Moves the bar; beyond the end of a page, to the next one. Returns whether the server must be
    /// asked for it.
    pub(super) fn step(&mut self, by: isize) -> bool {
        let last = self.picture.as_ref().map_or(0, Picture::len).saturating_sub(1);
        if by > 0 && self.selected == last && self.next_page() {
            return true;
        }
        if by < 0 && self.selected == 0 && self.before.pop().is_some() {
            return true;
        }
        self.select(self.selected.saturating_add_signed(by));
        false
    }

    fn next_page(&mut self) -> bool {
        let picture = self.picture.as_ref();
        let after = picture
            .filter(|picture| picture.asked == self.asked())
            .and_then(|picture| picture.pages.last())
            .and_then(|page| page.after.clone());
        let Some(after) = after else { return false };
        self.before.push(after);
        self.selected = 0;
        true
    }
}
