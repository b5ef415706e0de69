//! The fields of an event or a span of the log.

use core::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};

/// The message is one of them.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn extend(&mut self, more: &Self) {
        self.0.extend(more.0.clone());
    }

    /// The message, and the other fields.
    pub(super) fn into_parts(mut self) -> (String, Map<String, Value>) {
        let message = self.0.remove("message");
        (message.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(), self.0)
    }

    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
}
