//! The scripts that answer calls, in the words of Redis.

use core::time::Duration;
use std::sync::LazyLock;

use redis::{Cmd, FromRedisValue, ParsingError, Value};

use super::{Answer, Call, Op, Outcome};
use crate::NodeId;

/// A script, and its name in the cache of Redis.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    sha1: String,
}

impl Script {
    pub(super) fn new(text: String) -> Self {
        let sha1 = sha1_smol::Sha1::from(&text).digest().to_string();
        Self { text, sha1 }
    }

    /// The call of a script that Redis has in its cache.
    pub(super) fn cached(&self, call: &Call, lease: Duration) -> Cmd {
        Self::command("EVALSHA", &self.sha1, call, lease)
    }

    /// The same with the text of the script, which Redis then has in its cache.
    pub(super) fn whole(&self, call: &Call, lease: Duration) -> Cmd {
        Self::command("EVAL", &self.text, call, lease)
    }

    fn command(verb: &str, script: &str, call: &Call, lease: Duration) -> Cmd {
        let mut cmd = redis::cmd(verb);
        // All keys are in the slot of this one.
        cmd.arg(script).arg(1).arg("{hw}:p");
        write(call, lease, &mut cmd);
        cmd
    }
}

macro_rules! scripts {
    ($($name:ident $file:literal)*) => {
        $(static $name: LazyLock<Script> = LazyLock::new(|| {
            let shared = include_str!("scripts/shared.lua");
            Script::new([shared, include_str!(concat!("scripts/", $file, ".lua"))].concat())
        });)*
    };
}

scripts! {
    JOIN "join"
    RENEW "renew"
    APPLY "apply"
    COMPARE "compare"
    NAMES "names"
    EXPIRED "expired"
    REAP "reap"
    TELL "tell"
    LEAVE "leave"
    KICK "kick"
}

/// The script that answers a call.
pub(super) fn script(call: &Call) -> &'static Script {
    match call {
        Call::Join { .. } => &JOIN,
        Call::Renew { .. } => &RENEW,
        Call::Apply { .. } => &APPLY,
        Call::Compare { .. } => &COMPARE,
        Call::Names { .. } => &NAMES,
        Call::Expired => &EXPIRED,
        Call::Reap { .. } => &REAP,
        Call::Tell { .. } => &TELL,
        Call::Leave { .. } => &LEAVE,
        Call::Kick { .. } => &KICK,
    }
}

/// Writes the arguments of a call.
fn write(call: &Call, lease: Duration, cmd: &mut Cmd) {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    match call {
        Call::Join { node, address } => cmd.arg(node.as_str()).arg(lease_ms).arg(&**address),
        Call::Renew { node } => cmd.arg(node.as_str()).arg(lease_ms),
        Call::Compare { node } | Call::Leave { node } => cmd.arg(node.as_str()),
        Call::Apply { node, number, ops } => {
            cmd.arg(node.as_str()).arg(number);
            for op in ops {
                write_op(op, cmd);
            }
            cmd
        }
        Call::Names { node, cursor } => cmd.arg(node.as_str()).arg(cursor),
        Call::Expired => cmd.arg(lease_ms),
        Call::Reap { node, most } => cmd.arg(node.as_str()).arg(most),
        Call::Tell { kind, detail } => cmd.arg(kind).arg(&**detail),
        Call::Kick { name } => cmd.arg(&**name),
    };
}

fn write_op(op: &Op, cmd: &mut Cmd) {
    match op {
        Op::Online { name, epoch, session, instance, peer } => {
            cmd.arg("on").arg(&**name).arg(epoch).arg(&**session);
            match instance {
                Some(instance) => cmd.arg(instance.get()),
                None => cmd.arg("-"),
            };
            cmd.arg(&**peer);
        }
        Op::Offline { name, epoch, reason, incident } => {
            cmd.arg("off").arg(&**name).arg(epoch).arg(&**reason);
            cmd.arg(u8::from(incident.is_some())).arg(incident.as_deref().unwrap_or_default());
        }
    }
}

/// Reads the answer of a script: a word, and what belongs to it.
pub(super) fn answer(value: Value) -> Result<Answer, ParsingError> {
    let mut fields = Fields::new(value)?;
    Ok(match &*fields.next::<String>()? {
        "leased" => Answer::Leased {
            now: fields.next()?,
            generation: fields.next::<String>()?.into(),
            namesake: fields.maybe()?.map(node),
        },
        "fenced" => Answer::Fenced,
        "stale" => Answer::Stale,
        "applied" => Answer::Applied(fields.0.map(outcome).collect::<Result<_, _>>()?),
        "digest" => Answer::Digest { names: fields.next()?, hash: fields.next()? },
        "names" => {
            let cursor = fields.next()?;
            let mut names = Vec::new();
            while let Some(name) = fields.maybe::<String>()? {
                names.push((name.into(), fields.next()?));
            }
            Answer::Names { names, cursor }
        }
        "expired" => {
            let nodes = fields.0.map(|value| Ok(node(String::from_redis_value(value)?)));
            Answer::Expired(nodes.collect::<Result<_, ParsingError>>()?)
        }
        "alive" => Answer::Alive,
        "reaped" => Answer::Reaped {
            offline: fields.next()?,
            left: fields.next()?,
            wait: Duration::from_millis(fields.next()?),
        },
        "told" => Answer::Told,
        "kicked" => Answer::Kicked(fields.maybe()?.map(node)),
        other => return Err(format!("the answer {other:?}").into()),
    })
}

fn outcome(value: Value) -> Result<Outcome, ParsingError> {
    let mut fields = Fields::new(value)?;
    Ok(match &*fields.next::<String>()? {
        "on" => Outcome::Online { epoch: fields.next()? },
        "older" => Outcome::Older { epoch: fields.next()?, same_client: fields.next()? },
        "off" => Outcome::Offline,
        other => return Err(format!("the outcome {other:?}").into()),
    })
}

fn node(text: String) -> NodeId {
    NodeId::from_stored(&text)
}

/// The fields of an answer, one after the other.
struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    fn new(value: Value) -> Result<Self, ParsingError> {
        Ok(Self(Vec::from_redis_value(value)?.into_iter()))
    }

    fn next<T: FromRedisValue>(&mut self) -> Result<T, ParsingError> {
        T::from_redis_value(self.0.next().ok_or("an answer that is too short")?)
    }

    fn maybe<T: FromRedisValue>(&mut self) -> Result<Option<T>, ParsingError> {
        self.0.next().map(T::from_redis_value).transpose()
    }
}
